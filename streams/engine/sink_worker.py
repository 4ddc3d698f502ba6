"""Drives a sink: beside the batches it looks now and then whether the service still has what was written."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from threading import Event as Flag

from sinks.base import Sink, SinkUnavailable
from streams.engine.batch_worker import BatchWorker
from streams.kafka.topics import Topic
from streams.privacy.erasures import E
from streams.roles import Role
from streams.settings import Settings

log = logging.getLogger(__name__)

_CHECK_S = 5.0


class SinkWorker(BatchWorker[E]):
    """Writes every event of some topics to one sink, and makes dead letters of what cannot be written."""

    def __init__(
        self,
        role: Role,
        settings: Settings,
        sink: Sink[E],
        events: Mapping[Topic, type[E]],
        *,
        batch_size: int,
        linger_s: float,
        client_id: str = "facestream",
    ) -> None:
        """Make one; see :class:`BatchWorker`. The sink is closed when the worker has run."""
        super().__init__(
            role,
            settings,
            sink,
            events,
            batch_size=batch_size,
            linger_s=linger_s,
            client_id=client_id,
            makes_dead_letters=True,
        )
        self._sink = sink
        self._check_at = 0.0

    def run(self, stop: Flag) -> None:
        """Work until ``stop`` is set; see :meth:`BatchWorker.run`."""
        try:
            super().run(stop)
        finally:
            self._sink.close()

    def _check(self) -> None:
        if time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + _CHECK_S
        try:
            self._sink.check()
        except SinkUnavailable as error:
            log.warning("%s: %s", self.heartbeat.role, error)
            self.heartbeat.failed("the sink", error)
        else:
            self.heartbeat.succeeded()
