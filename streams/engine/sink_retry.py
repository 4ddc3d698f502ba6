"""Repeats what a sink, or Kafka, cannot do now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from sinks.base import RejectedRow, SinkUnavailable
from streams.observability.heartbeat import WorkerHeartbeat

log = logging.getLogger(__name__)

RETRY_S = (0.2, 5.0)
"""The first and the longest pause before the next attempt."""


class SinkRetry:
    """Attempts of one worker."""

    def __init__(self, heartbeat: WorkerHeartbeat, wait: Callable[[float], None], resume: Callable[[], None]) -> None:
        """Make one.

        Args:
            heartbeat: of the worker; it is told of every attempt.
            wait: called between two attempts with the seconds to wait; what it raises ends the attempts.
            resume: called once the sink has answered, if ``wait`` was called before.
        """
        self._heartbeat = heartbeat
        self._wait = wait
        self._resume = resume

    def until_available(self, act: Callable[[], None], what: str) -> None:
        """Call ``act`` until it does not raise ``SinkUnavailable``.

        Args:
            act: the attempt; safe to repeat.
            what: the same in words, for the log and the worker's health.

        Raises:
            RejectedRow: the sink has answered that it will never take some of the events.
            Exception: anything else that ``act`` or ``wait`` raises.
        """
        pause, since, waited = RETRY_S[0], time.monotonic(), False
        while True:
            self._heartbeat.begins()
            try:
                act()
            except SinkUnavailable as error:
                log.warning("%s: %s waits for %.0f s: %s", self._heartbeat.role, what, time.monotonic() - since, error)
                self._heartbeat.failed(what, error)
            except RejectedRow:
                if waited:
                    self._resume()
                raise
            else:
                self._heartbeat.succeeded()
                break
            finally:
                self._heartbeat.ended()
            waited = True
            self._wait(pause)
            pause = min(2 * pause, RETRY_S[1])
        if waited:
            self._resume()
