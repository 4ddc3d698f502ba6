"""Ends a worker that hangs, so that its supervisor starts it anew.

Its consumer would go on sending heartbeats from a thread of its own and hold the partitions for ever.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from streams.kafka.messages import TopicPartition
from streams.observability.faults import Fault
from streams.observability.heartbeat import ConsumerStatus, PartitionLog, WorkerHeartbeat

log = logging.getLogger(__name__)

EXIT_CODE = 70
"""The exit code of a worker that ended itself because it hung (``EX_SOFTWARE`` of sysexits.h)."""
PATIENCE = 5
"""One batch, or taking over partitions, may last this many times the limit."""
_TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class HangSymptom:
    """What is wrong, and what share of the time that it may last has gone by; the worker ends itself beyond 1.

    It hangs then, unless it says otherwise.
    """

    what: str
    age_s: float
    share: float
    hangs: bool = True

    def __str__(self) -> str:
        return f"{self.what} for {self.age_s:.0f} s"


class HangDetector:
    """Decides whether a worker hangs; asked about once a second, with times in monotonic seconds.

    Nothing but a standing event loop counts while Kafka does not answer, nor is that time counted later: a worker that
    waits for its broker does what it should.
    """

    def __init__(self, heartbeat: WorkerHeartbeat, limit_s: float) -> None:
        self._heartbeat = heartbeat
        self._limit_s = limit_s
        self._kafka_since: float | None = None
        self._state: tuple[bool, int | None] | None = None
        self._state_since = 0.0
        self._unfetched: dict[TopicPartition, tuple[int, float]] = {}

    @property
    def unfetched(self) -> frozenset[TopicPartition]:
        """Partitions of which the broker has more than came."""
        return frozenset(self._unfetched)

    def worst(
        self, now: float, facts: ConsumerStatus, logs: Mapping[TopicPartition, PartitionLog] | None
    ) -> HangSymptom | None:
        """The complaint that is nearest to its limit, if any; ``logs`` is None while Kafka does not answer."""
        found = list(self._symptoms(now, facts, logs))
        return max(found, key=lambda one: one.share, default=None)

    def _symptoms(
        self, now: float, facts: ConsumerStatus, logs: Mapping[TopicPartition, PartitionLog] | None
    ) -> Iterator[HangSymptom]:
        heartbeat = self._heartbeat
        if heartbeat.loop_turned_at is not None:
            yield self._symptom("the event loop has not turned", now - heartbeat.loop_turned_at)
        if logs is None:
            self._kafka_since = None
            return
        if self._kafka_since is None:
            self._kafka_since = now
        if (facts.ready, facts.recovered) != self._state:
            self._state, self._state_since = (facts.ready, facts.recovered), now
        # A stage's client may be what is wrong, and is new in a new process. A sink's service may be away for days.
        if (
            (waiting := heartbeat.waiting) is not None
            and heartbeat.busy_since is not None
            and facts.recovered is not None
        ):
            what = f"a batch fails and is tried again ({waiting.error})"
            patience = 1 if waiting.what == Fault.MACHINE else PATIENCE
            yield self._symptom(what, self._age(waiting.since, now), patience)
        if heartbeat.busy_since is not None:
            yield self._symptom("a batch has been in hand", self._age(heartbeat.busy_since, now), PATIENCE)
        if facts.ready:
            if heartbeat.busy_since is None and heartbeat.turned_at is not None:
                since = max(heartbeat.turned_at, self._state_since)
                yield self._symptom("no batch has been asked for", self._age(since, now))
            yield from self._commits(now)
            if facts.may_starve:
                yield from self._fetches(now, facts, logs)
        elif facts.recovered is not None and not self._heartbeat.unreadable:
            age = self._age(self._state_since, now)
            yield self._symptom("taking over partitions has made no progress", age, PATIENCE)

    def _symptom(self, what: str, age_s: float, patience: float = 1.0) -> HangSymptom:
        return HangSymptom(what, age_s, age_s / (patience * self._limit_s))

    def _age(self, since: float, now: float) -> float:
        return now - max(since, self._kafka_since or now)

    def _commits(self, now: float) -> Iterator[HangSymptom]:
        """Processing goes on but commits do not (faust-streaming #596)."""
        since, last = self._heartbeat.uncommitted_since, self._heartbeat.processed_at
        if since is not None and last is not None:
            yield self._symptom(
                "processing goes on, but nothing has been committed", min(last - since, self._age(since, now))
            )

    def _fetches(
        self, now: float, facts: ConsumerStatus, logs: Mapping[TopicPartition, PartitionLog]
    ) -> Iterator[HangSymptom]:
        """A partition of ours has messages, but nothing of it comes (faust-streaming #629)."""
        unfetched: dict[TopicPartition, tuple[int, float]] = {}
        for source, known in logs.items():
            fetched = max(self._heartbeat.next_offset.get(source, 0), known.committed)
            waits = source in self._heartbeat.held or source in self._heartbeat.unreadable
            if source in facts.assigned and not waits and fetched < known.end:
                before = self._unfetched.get(source)
                unfetched[source] = before if before is not None and before[0] == fetched else (fetched, now)
        self._unfetched = unfetched
        for source, (_, since) in unfetched.items():
            what = f"{source.topic}/{source.partition} has messages, but none was fetched"
            yield self._symptom(what, self._age(since, now))


class Watchdog:
    """A thread that asks again and again, and ends the process hard when the worker hangs."""

    def __init__(self, ask: Callable[[], HangSymptom | None], limit_s: float) -> None:
        self._ask = ask
        self._limit_s = limit_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End watching."""
        self._stopped.set()
        self._thread.join(_TICK_S)
        faulthandler.cancel_dump_traceback_later()

    def _run(self) -> None:
        hung = False
        while not self._stopped.wait(_TICK_S):
            # A thread of C code: it ends the process also when no Python code runs any more, as in a deadlock of the
            # interpreter's lock.
            faulthandler.dump_traceback_later(2 * self._limit_s, exit=True)
            symptom = self._ask()
            before, hung = hung, symptom is not None and symptom.share > 1
            # Twice in a row, since a process that was suspended wakes here with every time out of date.
            if symptom is not None and hung and before:
                end(str(symptom), hangs=symptom.hangs)


def end(problem: str, *, hangs: bool = True) -> None:
    """Say why, show where every thread is, and end the process without any clean-up.

    That might hang as well, or commit offsets of a topic that is not there any more.
    """
    # Should the log's lock be held by what hangs.
    faulthandler.dump_traceback_later(_TICK_S * 5, exit=True)
    why = "hangs and ends itself" if hangs else "ends itself to begin anew"
    log.critical("this worker %s (exit code %d): %s", why, EXIT_CODE, problem)
    logging.shutdown()
    if hangs:
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
    sys.stderr.flush()
    os._exit(EXIT_CODE)
