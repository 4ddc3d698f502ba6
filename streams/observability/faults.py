"""Decides what caused a failure: a service, this machine, or the message itself.

A message is given up only if it caused the failure itself. A failure of a service or of the machine would affect every
other message too, so the work waits, and ``/healthz``, a metric and ``facestream doctor`` report it.
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
    """The cause of a failure; the value names what the work waits for."""

    SERVICE = "Kafka"
    MACHINE = "this machine"
    MESSAGE = "a message that fails"


_OF_SERVICE = (KafkaError, KafkaUnavailable, TopicsError)
"""Stages use no other service than Kafka. (Payload stores have a short wait of their own where they are read.)"""
_OF_MESSAGE = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    InvalidTimestampError,
    IllegalArgumentError,
)
"""Errors of Kafka about records that it will never accept."""
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
"""Errors of the system if its disk, memory or files are used up or broken. Every other ``OSError``, such as a missing
file or an invalid address, is caused by the message."""


def fault_of(error: BaseException) -> Fault:
    """The cause of an error in the work of a stage."""
    if isinstance(error, LocalTableFailed) or (isinstance(error, OSError) and error.errno in _OF_MACHINE):
        return Fault.MACHINE
    if isinstance(error, _OF_SERVICE) and not isinstance(error, _OF_MESSAGE):
        return Fault.SERVICE
    return Fault.MESSAGE
