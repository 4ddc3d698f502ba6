"""Whether the workers behind the one that takes a replay's events keep up."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.kafka.connection import KafkaUnavailable, admin_client
from streams.kafka.consumer_groups import OffsetsClient, group_id
from streams.kafka.offsets import next_offsets
from streams.kafka.topics import TopicsError
from streams.roles import Role
from streams.settings import Settings
from streams.topology import READS

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_MOST_BESIDE_LIVE, _MOST = 1_000, 5_000
"""Messages that may wait for a group while live ones wait behind them, and while there are none."""
_ROLES = (Role.MATCH, Role.SINK_REDIS)
"""Those between an event and the one who waits for its answer; BigQuery may catch up later."""


class DownstreamLag:
    """A thread that asks the brokers; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._lags: dict[Role, int] = {}
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crowding", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(_EVERY_S)

    def role(self, *, beside_live: bool) -> Role | None:
        """The role that is behind, if any."""
        most = _MOST_BESIDE_LIVE if beside_live else _MOST
        return next((role for role, lag in self._lags.items() if lag > most), None)

    def _run(self) -> None:
        admin = admin_client(self._settings)
        with OffsetsClient(self._settings) as commits:
            while not self._stop.wait(_EVERY_S):
                try:
                    self._lags = {role: self._lag(admin, commits, role) for role in _ROLES}
                except (KafkaUnavailable, KafkaException, TopicsError) as error:
                    log.warning("how far the workers are behind is not known: %s", error)

    def _lag(self, admin: AdminClient, commits: OffsetsClient, role: Role) -> int:
        """Messages that wait for a role; partitions of which it has never committed anything are left out."""
        names = {topic.named(self._settings) for topic in READS[role]}
        found = commits.of(group_id(role, self._settings))
        committed = {source: commit.offset for source, commit in found.items() if source.topic in names}
        ends = next_offsets(admin, committed)
        return sum(max(0, ends[source] - offset) for source, offset in committed.items())
