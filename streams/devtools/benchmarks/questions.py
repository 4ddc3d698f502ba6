"""Counts the records of long topics that are read to answer small questions, against reading them whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from infra.services import LocalServices
from schemas import codec
from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter, Resolution
from schemas.drift import Drift
from schemas.erasure import Erasure
from schemas.errors import CodecError
from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.learning import Chip, Feedback, Statement
from schemas.parts import Box, Decision, Source, Timings
from schemas.registry import Event
from schemas.replays import Replay
from schemas.results import Match, MatchedFace
from sinks.base import Delivery, Position
from sinks.redis import RedisAddress, RedisSink
from streams.dead_letters.store import read_newest_records
from streams.devtools.benchmarks.long_logs import QUALITY, VERSION, create_topics, fill, fill_changelog
from streams.devtools.benchmarks.rows import Figures, attempt
from streams.drift.alarms import CameraAlarms, last_reports
from streams.feedback.errors import FeedbackRefused
from streams.feedback.submit import submit as give_feedback
from streams.kafka.consumer_groups import OffsetsClient, commits, group_id
from streams.kafka.log_reader import LOG_RECORDS, read_topic
from streams.kafka.messages import TopicPartition
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.matching.changelog import changelog_name
from streams.privacy.erasures import NewErasures
from streams.replay import store
from streams.retraining.new_data import LearnableFaces
from streams.roles import Role
from streams.rollout.enrolled_templates import EnrolledTemplates
from streams.settings import OwnSettings, Settings

_NEW = 10
"""Records that come between two readings."""
_ASKED = 10
"""How often the commits of a group are asked for."""
_OPENED_LETTERS = 20_000
_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of an answer: records read, the topics, and seconds."""

    records: int
    seconds: float


QUESTIONS = (
    "feedback on a new frame",
    "feedback on who was erased",
    "drift: doctor",
    "drift: the first tick of retrain",
    "drift: the next tick",
    "chips: the next tick of retrain",
    "backfill: the next look",
    "erasures: the next rebalance",
    "dead letters: doctor",
    "replays: the last record of one",
    "commits of a group, ten times",
)


def measure(
    folder: Path, records: int, say: Callable[[str], None], only: Sequence[str] = QUESTIONS
) -> Iterator[Figures]:
    """Fill topics with records, and ask these questions.

    Yields:
        The row of each question: ``records`` and ``seconds`` where its topics are read whole (``whole``), and ``now``.
    """
    services = LocalServices(folder, say)
    try:
        found: dict[str, Any] = dict(services.start().settings())
        settings = OwnSettings(**found, home=folder)
        yield from ask(settings, records, say, only)
    finally:
        services.stop()


def ask(
    settings: Settings, records: int, say: Callable[[str], None], only: Sequence[str] = QUESTIONS
) -> Iterator[Figures]:
    """Like :func:`measure`, on running services; the topics are created."""
    create_topics(settings)
    with ExitStack() as kept:
        rows = _Bench(settings, records, say, kept).rows()
        for name in QUESTIONS:
            if name in only:
                yield attempt(name, lambda name=name: {"question": name, **rows[name]()})  # type: ignore[misc]


class _Bench:
    def __init__(self, settings: Settings, records: int, say: Callable[[str], None], kept: ExitStack) -> None:
        self._settings = settings
        self._records = records
        self._say = say
        self._kept = kept
        self._filled: set[Topic | str] = set()
        self._changelog = changelog_name(settings)
        self._alarms = CameraAlarms(settings)
        kept.callback(self._alarms.close)

    def rows(self) -> dict[str, Callable[[], Figures]]:
        """The function that measures each question."""
        measures = (
            *(self._feedback, self._refused, self._doctor, self._first_tick, self._next_tick, self._chips),
            *(self._backfill, self._rebalance, self._letters, self._replay, self._commits),
        )
        return dict(zip(QUESTIONS, measures, strict=True))

    def _row(self, read: Sequence[tuple[Topic | str, type[Event]]], question: Callable[[], object]) -> Figures:
        """Read the topics whole, then ask."""
        names = [topic.named(self._settings) if isinstance(topic, Topic) else topic for topic, _ in read]
        whole = _cost(names, lambda: [_read_whole(self._settings, *one) for one in read])
        return {"whole": _plain(whole), "now": _plain(_cost(names, question))}

    def _fill(self, *topics: Topic) -> None:
        for topic in topics:
            if topic not in self._filled:
                self._say(f"filling {topic} with {self._records} records")
                fill(self._settings, topic, self._records)
                self._filled.add(topic)

    def _feedback(self) -> Figures:
        self._fill(Topic.FEEDBACK, Topic.ERASURES)
        event_id = _frame(self._settings, "anna")
        return self._row(
            [(Topic.FEEDBACK, Feedback), (Topic.ERASURES, Erasure)],
            lambda: give_feedback(self._settings, event_id, Statement.IS, "anna"),
        )

    def _refused(self) -> Figures:
        self._fill(Topic.FEEDBACK, Topic.ERASURES)
        event_id = _frame(self._settings, "berta")
        erasure = Erasure(new_event_id(), "berta", utc_now())
        RecordWriter(self._settings, Topic.ERASURES).write("berta", codec.encode(erasure))

        def refused() -> None:
            try:
                give_feedback(self._settings, event_id, Statement.IS, "berta")
            except FeedbackRefused:
                return
            raise AssertionError("feedback on somebody who was erased is taken")

        return self._row([(Topic.FEEDBACK, Feedback), (Topic.ERASURES, Erasure)], refused)

    def _doctor(self) -> Figures:
        self._fill(Topic.DRIFT)
        return self._row([(Topic.DRIFT, Drift)], lambda: last_reports(self._settings))

    def _first_tick(self) -> Figures:
        self._fill(Topic.DRIFT)
        return self._row([(Topic.DRIFT, Drift)], self._alarms)

    def _next_tick(self) -> Figures:
        self._fill(Topic.DRIFT)
        self._alarms()
        fill(self._settings, Topic.DRIFT, _NEW)
        return self._row([(Topic.DRIFT, Drift)], self._alarms)

    def _chips(self) -> Figures:
        self._fill(Topic.CHIPS)
        faces = LearnableFaces(self._settings)
        self._kept.callback(faces.close)
        faces.new_data({})
        fill(self._settings, Topic.CHIPS, _NEW)
        return self._row([(Topic.CHIPS, Chip)], lambda: faces.new_data({}))

    def _backfill(self) -> Figures:
        self._say(f"filling {self._changelog} with {self._records} records")
        fill_changelog(self._settings, self._records)
        enrolled = self._kept.enter_context(EnrolledTemplates(self._settings))
        enrolled.refresh()
        fill_changelog(self._settings, _NEW)
        return self._row([(self._changelog, Template)], lambda: enrolled.refresh().lack([], VERSION))

    def _rebalance(self) -> Figures:
        self._fill(Topic.ERASURES)
        erasures = NewErasures(self._settings)
        erasures.of()
        fill(self._settings, Topic.ERASURES, _NEW)
        return self._row([(Topic.ERASURES, Erasure)], erasures.of)

    def _letters(self) -> Figures:
        self._fill(Topic.DEAD_LETTERS, Topic.RESOLUTIONS)
        return self._row(
            [(Topic.RESOLUTIONS, Resolution), (Topic.DEAD_LETTERS, DeadLetter)],
            lambda: read_newest_records(self._settings, _OPENED_LETTERS, _LIMIT_S),
        )

    def _replay(self) -> Figures:
        self._fill(Topic.REPLAYS)
        return self._row([(Topic.REPLAYS, Replay)], lambda: store.find(self._settings, "replay-7"))

    def _commits(self) -> Figures:
        """Count clients instead of records."""
        group = group_id(Role.MATCH, self._settings)
        began = time.perf_counter()
        for _ in range(_ASKED):
            commits(self._settings, group)
        anew = time.perf_counter() - began
        with OffsetsClient(self._settings) as kept:
            began = time.perf_counter()
            for _ in range(_ASKED):
                kept.of(group)
            seconds = time.perf_counter() - began
        return {"whole": _plain(Cost(0, anew)), "now": _plain(Cost(0, seconds))}


def _cost(names: Sequence[str], question: Callable[[], object]) -> Cost:
    before, began = _records_read(names), time.perf_counter()
    question()
    return Cost(_records_read(names) - before, time.perf_counter() - began)


def _records_read(names: Sequence[str]) -> int:
    """The records that this process has read so far, from its metric."""
    return sum(
        round(sample.value)
        for metric in LOG_RECORDS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["topic"] in names
    )


def _read_whole(settings: Settings, topic: Topic | str, event_type: type[Event]) -> int:
    """Read and decode a whole topic, and keep the last record of each key; return the number of keys."""
    last: dict[bytes | str | None, object] = {}
    for message in read_topic(settings, topic):
        try:
            last[message.key] = codec.decode(message.value, event_type)
        except CodecError:
            continue
    return len(last)


def _plain(cost: Cost) -> dict[str, Any]:
    return {"records": cost.records, "seconds": round(cost.seconds, 3)}


def _frame(settings: Settings, user_id: str) -> str:
    """Put the answer to a frame into Redis; return its event id."""
    now = utc_now()
    source = Source("frames", 0, 1)
    seen = MatchedFace(Box(1, 1, 80, 80), [1.0] * 10, QUALITY, Decision.MATCH, user_id)
    times = Timings(now, now, now + timedelta(milliseconds=20), 1.0, 1.0, 1.0, 1.0)
    match = Match(
        event_id=new_event_id(),
        user_id=user_id,
        camera_id="door",
        sequence=1,
        captured_at=now,
        mode=Mode.IDENTIFY,
        source=source,
        model_version=VERSION,
        threshold_set="fmr-1e-3",
        width=640,
        height=480,
        timings=times,
        matched_at=now,
        faces=[seen],
    )
    sink = RedisSink(RedisAddress.of(settings), settings.redis_prefix)
    partition = TopicPartition(Topic.MATCHES.named(settings), 0)
    sink.assign([Position(partition, 0, "")])
    sink.write([Delivery(partition, 0, match)])
    sink.close()
    return match.event_id
