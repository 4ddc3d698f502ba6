"""Whose fault a failure is: a service's, this machine's, or the message's own.

A message is given up only for what is its own doing. What a service or the machine does to it, it would do to every
other message too: the work waits, and ``/healthz``, a metric and ``facestream doctor`` say so.
"""

from __future__ import annotations

import errno
from enum import StrEnum

from aiokafka.errors import (
    IllegalArgumentError,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
)

from streams.kafka.connection import KafkaUnavailable
from streams.kafka.topics import TopicsError


class LocalTableFailed(Exception):
    """RocksDB cannot be read or written: the disk is full, broken or gone."""


class Fault(StrEnum):
    """Whose a failure is; the value is what is waited for."""

    SERVICE = "Kafka"
    MACHINE = "this machine"
    MESSAGE = "a message that fails"


_OF_SERVICE = (KafkaError, KafkaUnavailable, TopicsError)
"""All that stages ask of others goes through Kafka. Payload stores are waited for where they are read, and not long."""
_OF_MESSAGE = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    InvalidTimestampError,
    IllegalArgumentError,
)
"""What Kafka says of a record that it will never take."""
_OF_MACHINE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENXIO,
}
"""What the system says when its disk, its memory or its files are used up or broken. All else that is an ``OSError``,
such as a file that is missing or is no picture, or an address that is none, is the message's doing."""


def fault_of(error: BaseException) -> Fault:
    """Whose fault an error of a stage's work is."""
    if isinstance(error, LocalTableFailed) or (isinstance(error, OSError) and error.errno in _OF_MACHINE):
        return Fault.MACHINE
    if isinstance(error, _OF_SERVICE) and not isinstance(error, _OF_MESSAGE):
        return Fault.SERVICE
    return Fault.MESSAGE
