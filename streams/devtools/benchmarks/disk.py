"""The fault of a full disk: a small disk is really filled, a large one is reported as full."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from confluent_kafka import KafkaException

from infra.kafka import answers
from infra.room import free_bytes
from streams.devtools.benchmarks.load import Load
from streams.devtools.local_stack import Stack
from streams.kafka.connection import admin_client
from streams.kafka.partition_counts import partition_counts
from streams.observability.partition_status import role_states
from streams.roles import Role

SMALL_BYTES = 2_000_000_000
"""Largest disk that is really filled."""
_FULL_S = 15.0
_TIMEOUT_S = 120.0


class Disk:
    """The disk of a stack, which can be reported as full."""

    def __init__(self) -> None:
        self.says_full = False

    def measure(self, folder: Path) -> int:
        """The free space, as :class:`~infra.room.Room` asks for it."""
        return 0 if self.says_full else free_bytes(folder)


DISK = Disk()
"""The disk of the stack under test."""


def full_disk(stack: Stack, _: Load) -> None:
    """Fill the disk to the last byte for a while, then free the space again.

    Raises:
        TimeoutError: Kafka has not stopped, or has not come back.
        RuntimeError: galleries are smaller than before.
    """
    before = _templates(stack)
    if shutil.disk_usage(stack.folder).total <= SMALL_BYTES:
        _fill_to_the_last_byte(stack)
    else:
        DISK.says_full = True
        try:
            _await(lambda: "kafka" not in stack.services.supervisor.running(), "Kafka goes on")
            time.sleep(_FULL_S)
        finally:
            DISK.says_full = False
    _await(lambda: _serves(stack), "Kafka has not come back")
    stack.await_owners()
    if (after := _templates(stack)) < before:
        raise RuntimeError(f"the galleries had {before} templates and have {after}")


def _fill_to_the_last_byte(stack: Stack) -> None:
    ballast, full = stack.folder / "ballast", threading.Event()

    def write() -> None:
        with ballast.open("wb", buffering=0) as file:
            while not full.is_set():
                try:
                    file.write(bytes(1_000_000 if free_bytes(stack.folder) > 2_000_000 else 4096))
                except OSError:  # It is: what somebody else has freed is taken soon.
                    full.wait(0.001)

    writing = threading.Thread(target=write, name="ballast")
    writing.start()
    try:
        _await(lambda: "kafka" not in stack.services.supervisor.running(), "Kafka goes on")
        time.sleep(_FULL_S)
    finally:
        full.set()
        writing.join()
        with suppress(FileNotFoundError):
            ballast.unlink()


def _templates(stack: Stack) -> int:
    admin, settings = admin_client(stack.settings), stack.settings
    [match] = role_states(admin, settings, partition_counts(admin, settings), [Role.MATCH])
    return sum(state.size.templates for state in match.partitions if state.size)


def _serves(stack: Stack) -> bool:
    with suppress(KafkaException):
        return "kafka" in stack.services.supervisor.running() and answers(stack.settings.kafka)
    return False


def _await(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} after {_TIMEOUT_S:g} s")
        time.sleep(0.1)
