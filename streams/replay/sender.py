"""Sends a replay: reads the log, and puts its events on their topic again as fast as the workers have room."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import confluent_kafka
from confluent_kafka import KafkaError

from schemas.replays import Replay, ReplayState
from streams.kafka.connection import KafkaUnavailable, make_producer
from streams.kafka.log_reader import LogReader, LogTruncated
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.privacy.erasures import read_erasures
from streams.replay.downstream_lag import DownstreamLag
from streams.replay.errors import ReplayError
from streams.replay.filters import ReplayFilter
from streams.replay.plan import workers
from streams.replay.rate_control import CongestionWindow
from streams.replay.results_monitor import ResultsMonitor
from streams.replay.store import SAVE_EVERY_S, ReplayStore
from streams.settings import Settings

_WAIT_S = 0.02
_LINGER_MS = 1
_GIVE_UP_S = 60.0
"""How long to wait for an answer."""
_FLUSH_S = 120.0
_BATCHES = 2
"""Number of batches per worker that may always be in flight if there is no live traffic."""


@dataclass(slots=True)
class ReplayProgress:
    """The progress of this run of a replay, which may have been resumed."""

    sent: int = 0
    answered: int = 0
    unanswered: int = 0
    under_way: int = 0
    note: str = ""


class Sender:
    """Sends one replay, once."""

    def __init__(
        self,
        settings: Settings,
        replay: Replay,
        *,
        rate: float | None = None,
        report: Callable[[ReplayProgress], None] = lambda progress: None,
    ) -> None:
        """Prepare it.

        Args:
            settings: of the cluster.
            replay: the replay as planned, or as it was when it stopped.
            rate: events per second, regardless of live events; None: as fast as live events are hardly delayed.
            report: called with the progress.
        """
        self.replay = replay
        self.progress = ReplayProgress()
        self._settings = settings
        self._topic = Topic(replay.topic)
        self._rate = rate
        self._report = report
        self._selection = ReplayFilter.of(replay)
        self._ledger = ReplayStore(settings)
        self._next = {one.partition: one.next_offset for one in replay.ranges}
        self._sent_before = replay.sent
        self._seconds_before = replay.seconds
        self._under_way: dict[str, float] = {}
        self._failure: KafkaError | None = None
        self._producer = make_producer(
            settings,
            {
                "linger.ms": _LINGER_MS,
                "compression.type": self._topic.compression,
                "message.max.bytes": self._topic.max_message_bytes(settings),
                "queue.buffering.max.kbytes": max(64 * 1024, settings.max_message_bytes // 256),
            },
        )

    @property
    def unreadable(self) -> int:
        """Messages that are no events, and were passed over."""
        return self._selection.unreadable

    @property
    def erased(self) -> int:
        """Events that were not sent, since their people were erased after them."""
        return self._selection.erased

    def run(self) -> Replay:
        """Send the events, wait for the answers, and return the replay in its final state.

        Raises:
            ReplayError: no worker takes the events, or some of them are gone.
            KafkaUnavailable: no broker answers; the rest can be sent when the replay is resumed.
            KeyboardInterrupt: Ctrl-C was pressed; likewise.
        """
        least = _BATCHES * self._settings.batch_size * workers(self._settings, self._topic)
        self._window = CongestionWindow(least, gentle=self._rate is None)
        self._began = self._saved = time.monotonic()
        self._selection.erasures = read_erasures(self._settings)
        with ExitStack() as stack:
            self._log = stack.enter_context(LogReader(self._settings, self._topic))
            try:
                self._log.open(self.replay.ranges)
            except LogTruncated as error:
                raise ReplayError(f"{error}: begin a new replay of what is left") from error
            self._answers = stack.enter_context(ResultsMonitor(self._settings, self.replay.replay_id))
            self._downstream = stack.enter_context(DownstreamLag(self._settings))
            if self._answers.live_before:
                self._window.live(self._began)
            self._save(ReplayState.RUNNING)
            try:
                self._send_all()
            except KafkaUnavailable:
                self._save(ReplayState.FAILED)
                raise
            except BaseException:
                self._save(ReplayState.STOPPED)
                raise
            self._await_answers()
            self._save(ReplayState.FINISHED)
        return self.replay

    def _send_all(self) -> None:
        waiting: deque[Message] = deque()
        while waiting or not self._log.at_end:
            room = self._room()
            if not waiting and room and not self._log.at_end:
                waiting.extend(self._log.read(0 if self._under_way else _WAIT_S))
            self._take_answers(0 if room and waiting else _WAIT_S)
            while waiting and room:
                room -= self._send(waiting.popleft())
            self._producer.poll(0)
            if self._failure is not None:
                raise KafkaUnavailable(f"{self._log.name} did not take an event: {self._failure.str()}")
            if time.monotonic() - self._saved > SAVE_EVERY_S:
                self._save(ReplayState.RUNNING)

    def _send(self, message: Message) -> int:
        """Send the event of a message if it is to be replayed; return how many were sent, 0 or 1."""
        marked = self._selection.marked(message, self.replay.replay_id, self.replay.corrects)
        if marked is not None:
            event_id, value = marked
            self._under_way[event_id] = time.monotonic()
            self._produce(message, value)
            self.progress.sent += 1
        self._next[message.source.partition] = message.offset + 1
        return marked is not None

    def _produce(self, message: Message, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(
                    self._log.name,
                    value,
                    message.key,
                    message.source.partition,
                    on_delivery=self._delivered,
                    headers=list(message.headers),
                )
                return
            except BufferError:
                self._producer.poll(_WAIT_S)

    def _delivered(self, error: KafkaError | None, _: confluent_kafka.Message) -> None:
        self._failure = error or self._failure

    def _room(self) -> int:
        """The number of events that may be sent now."""
        behind = self._downstream.role(beside_live=self._window.beside_live)
        if behind is not None:
            self.progress.note = f"waiting for {behind}"
            return 0
        room = self._window.room(time.monotonic(), len(self._under_way))
        if room < len(self._under_way) // 4:
            # Workers process a few large batches faster than many small ones.
            room = 0
        self.progress.note = "beside live traffic" if self._window.beside_live else ""
        if self._rate is not None:
            due = int((time.monotonic() - self._began) * self._rate) - self.progress.sent
            room = min(room, max(0, due))
        return room

    def _take_answers(self, timeout_s: float) -> None:
        for answer in self._answers.new(timeout_s):
            now = time.monotonic()
            sent_at = None if answer.event_id is None else self._under_way.pop(answer.event_id, None)
            if answer.event_id is None:
                self._window.live(now, answer.took_s)
            elif sent_at is not None:
                self.progress.answered += 1
                self._window.answered(now - sent_at, now)
        self._give_up()
        self.progress.under_way = len(self._under_way)
        self._report(self.progress)

    def _give_up(self) -> None:
        """Stop waiting for the oldest event after a while, so that a lost answer does not take up room."""
        oldest = next(iter(self._under_way.items()), None)
        if oldest is not None and time.monotonic() - oldest[1] > _GIVE_UP_S:
            del self._under_way[oldest[0]]
            self.progress.unanswered += 1

    def _await_answers(self) -> None:
        while self._under_way:
            self._take_answers(_WAIT_S)
            if time.monotonic() - self._saved > SAVE_EVERY_S:
                self._save(ReplayState.RUNNING)

    def _save(self, state: ReplayState) -> None:
        """Save the progress, once everything that was sent has been delivered.

        Raises:
            KafkaUnavailable: Kafka did not accept the events.
        """
        if self._producer.flush(_FLUSH_S) or (self._failure and state is not ReplayState.FAILED):
            raise KafkaUnavailable(f"{self._log.name} does not take what is sent to it")
        self._saved = time.monotonic()
        ranges = [replace(one, next_offset=self._next[one.partition]) for one in self.replay.ranges]
        sent, planned = self._sent_before + self.progress.sent, self.replay.planned
        if state is ReplayState.FINISHED:
            ranges, planned = [replace(one, next_offset=one.end_offset) for one in ranges], sent
        if self._failure is not None:
            ranges = list(self.replay.ranges)
        self.replay = self._ledger.save(
            replace(
                self.replay,
                state=state,
                ranges=ranges,
                planned=planned,
                sent=sent,
                seconds=self._seconds_before + self._saved - self._began,
            )
        )
