"""Asks the broker now and then how far a worker is behind, on a connection and a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.kafka.commit_metadata import ShardSize
from streams.kafka.connection import KafkaUnavailable, admin_client
from streams.kafka.consumer_groups import OffsetsClient, group_id
from streams.kafka.messages import TopicPartition
from streams.kafka.offsets import appended_offsets, first_offsets, next_offsets
from streams.kafka.topics import TopicsError
from streams.observability.heartbeat import ConsumerStatus, PartitionLog
from streams.observability.topic_watch import TopicWatch
from streams.roles import Role
from streams.settings import Settings

log = logging.getLogger(__name__)

_FRESH = 4
"""Kafka counts as unavailable if its last answer is older than this many intervals."""


class LagProbe:
    """A thread that keeps the state of a worker's partitions, and of the changelogs of its standbys."""

    def __init__(
        self, role: Role, settings: Settings, facts: Callable[[], ConsumerStatus], interval_s: float, client_id: str
    ) -> None:
        self.topics = TopicWatch(role, settings, client_id)
        self._group = group_id(role, settings)
        self._settings = settings
        self._facts = facts
        self._interval_s = interval_s
        self._states: dict[TopicPartition, PartitionLog] = {}
        self._sizes: dict[int, ShardSize] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._answered_at: float | None = None
        self._waiting_since: dict[TopicPartition, float] = {}
        self._held_since: dict[TopicPartition, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-probe", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """End asking."""
        self._stopped.set()

    def states(self) -> Mapping[TopicPartition, PartitionLog] | None:
        """The partitions that the worker reads; None while Kafka does not answer."""
        at = self._answered_at
        return self._states if at is not None and time.monotonic() - at < _FRESH * self._interval_s else None

    def sizes(self) -> dict[int, ShardSize]:
        """The gallery shards as they were at the last commit, by partition number."""
        return self._sizes

    def waiting_since(self, source: TopicPartition) -> float | None:
        """The time (monotonic seconds) since which a message has been waiting in a partition; None if none waits."""
        return self._waiting_since.get(source)

    def held_since(self, source: TopicPartition) -> float | None:
        """The time (monotonic seconds) since which a partition has had an open transaction; None if it has none."""
        return self._held_since.get(source)

    def standby_lags(self) -> dict[TopicPartition, int]:
        """Changelog records that the worker's warm copies have not read yet."""
        applied, ends = self._facts().standbys, self._ends
        return {source: max(0, ends[source] - offset - 1) for source, offset in applied.items() if source in ends}

    def _run(self) -> None:
        with OffsetsClient(self._settings) as commits:
            self._ask_again_and_again(commits)

    def _ask_again_and_again(self, commits: OffsetsClient) -> None:
        admin, away = admin_client(self._settings), False
        while not self._stopped.wait(self._interval_s):
            try:
                self._ask(admin, commits, self._facts())
                away = False
            except (KafkaUnavailable, KafkaException, TopicsError, TimeoutError) as error:
                if not away:
                    log.warning("how far this worker is behind is not known for now: %s", error)
                away = True
                # After a broker's restart a client goes on for minutes to ask for the leaders of before.
                admin = admin_client(self._settings)

    def _ask(self, admin: AdminClient, commits: OffsetsClient, facts: ConsumerStatus) -> None:
        there = self.topics.look(admin, facts)
        sources = frozenset(one for one in facts.assigned if one.topic in there)
        committed = commits.of(self._group)
        ends = next_offsets(admin, [*sources, *facts.standbys])
        appended = appended_offsets(admin, sources)
        firsts = first_offsets(admin, sources)
        self._ends = ends
        ours = {source: commit for source, commit in committed.items() if source in sources}
        self._states = {
            one: PartitionLog(ends[one], max(firsts[one], ours[one].offset if one in ours else 0), appended[one])
            for one in sources
        }
        self._sizes = {one.partition: size for one, commit in ours.items() if (size := commit.note.size) is not None}
        now = time.monotonic()
        self._waiting_since = {
            one: self._waiting_since.get(one, now) for one, state in self._states.items() if state.lag
        }
        self._held_since = {
            one: self._held_since.get(one, now) for one, state in self._states.items() if state.held_back
        }
        self._answered_at = now
