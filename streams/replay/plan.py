"""What a replay would send, found out before anything is sent."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from confluent_kafka.admin import AdminClient

from schemas import codec
from schemas.clock import utc_now
from schemas.embeddings import Embedding
from schemas.errors import CodecError
from schemas.replays import OffsetRange, Replay, ReplayState
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import describe_group, group_id
from streams.kafka.log_reader import LogReader
from streams.kafka.topics import Topic
from streams.model_registry.records import read_registry
from streams.privacy.erasures import read_erasures
from streams.replay.errors import ReplayError
from streams.replay.filters import EVENT_TYPES, ReplayFilter
from streams.replay.store import new_replay_id
from streams.roles import Role
from streams.settings import Settings
from streams.topology import READS

_USUAL_RATES = {Topic.EMBEDDINGS: 1_000.0, Topic.FRAMES: 30.0, Topic.UPLOADS: 30.0}
"""Events a second of one worker beside some live traffic, for the first estimate."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What is to be replayed; empty filters let all pass."""

    topic: Topic
    from_time: datetime
    to_time: datetime
    users: list[str] = field(default_factory=list)
    camera_id: str | None = None
    event_ids: list[str] = field(default_factory=list)
    model_version: str | None = None
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """The replay as it would begin, and how many events of each partition that is.

    ``exact`` says whether they were counted one by one, as with a filter, or by their offsets: then replays among them
    count too, which will not be sent, and so do events of erased people. ``erased`` events, which are not counted, are
    of people who were erased after them: workers would refuse them, and they are not sent.
    """

    replay: Replay
    by_partition: dict[int, int]
    exact: bool
    erased: int = 0


def make_plan(settings: Settings, request: ReplayRequest) -> ReplayPlan:
    """Find and count the events.

    Raises:
        ReplayError: there is nothing to replay, something is gone or unknown, or the workers run another model.
        TopicMissing: the topics have not been created.
        KafkaUnavailable: no broker answers.
    """
    _check(request)
    if request.model_version is not None:
        _check_model(settings, request.model_version)
    selection = ReplayFilter(
        request.topic,
        request.users,
        request.camera_id,
        request.event_ids,
        request.model_version if request.topic is Topic.EMBEDDINGS else None,
    )
    selection.erasures = read_erasures(settings)
    with LogReader(settings, request.topic) as log:
        ranges = log.between(request.from_time, request.to_time)
        if not ranges:
            raise ReplayError(
                f"{log.name} holds nothing between {_shown(request.from_time)} and {_shown(request.to_time)}: "
                "nothing was sent"
            )
        if selection.is_whole:
            counts = {one.partition: one.end_offset - one.first_offset for one in ranges}
        else:
            chosen = (message for message in log.messages(ranges) if selection.choose(message) is not None)
            counts = dict(sorted(Counter(message.source.partition for message in chosen).items()))
    selection.check_found()
    if not counts and selection.erased:
        raise ReplayError(
            f"all {selection.erased} {request.topic} that are as asked for are of somebody who was erased after them, "
            "so the workers would refuse them: nothing was sent"
        )
    if not counts:
        raise ReplayError(f"nothing on {request.topic} in that time is as asked for: nothing was sent")
    ranges = [one for one in ranges if one.partition in counts]
    return ReplayPlan(
        _new_replay(request, ranges, sum(counts.values())), counts, not selection.is_whole, selection.erased
    )


def _check(request: ReplayRequest) -> None:
    if request.topic not in EVENT_TYPES:
        raise ReplayError(f"{request.topic} cannot be replayed: its events come of {_before(request.topic)}")
    if request.from_time >= request.to_time:
        raise ReplayError(f"--from {_shown(request.from_time)} is not before --to {_shown(request.to_time)}")
    if request.camera_id is not None and request.topic is Topic.UPLOADS:
        raise ReplayError("uploads come from no camera: leave --camera out")


def _before(topic: Topic) -> str:
    return {
        Topic.MATCHES: "frames and embeddings: replay these",
        Topic.ENROLMENTS: "uploads and embeddings: replay these",
    }.get(topic, "no stage")


def _new_replay(request: ReplayRequest, ranges: list[OffsetRange], planned: int) -> Replay:
    now = utc_now()
    return Replay(
        replay_id=new_replay_id(now),
        topic=request.topic,
        state=ReplayState.STOPPED,
        corrects=request.corrects,
        from_time=request.from_time,
        to_time=request.to_time,
        users=list(request.users),
        camera_id=request.camera_id,
        event_ids=list(request.event_ids),
        model_version=request.model_version,
        ranges=ranges,
        planned=planned,
        sent=0,
        seconds=0.0,
        host=platform.node(),
        started_at=now,
        updated_at=now,
    )


def workers(settings: Settings, topic: Topic, admin: AdminClient | None = None) -> int:
    """How many workers will take what is sent to a topic.

    Raises:
        ReplayError: none.
        KafkaUnavailable: no broker answers.
    """
    role = reader(topic)
    group = describe_group(admin or admin_client(settings), group_id(role, settings))
    owners = [one for one in group.members if any(part.topic == topic.named(settings) for part in one.partitions)]
    if not owners:
        raise ReplayError(f"no {role} worker reads {topic.named(settings)}: start one with `facestream worker {role}`")
    return len(owners)


def reader(topic: Topic) -> Role:
    """The role that reads a topic that can be replayed."""
    return next(role for role, topics in READS.items() if topic in topics)


def estimate_s(events: int, topic: Topic, rate: float | None, before: list[Replay]) -> float:
    """How long it will take: by the rate asked for, or as fast as the last replay of this topic went."""
    went = [one.sent / one.seconds for one in before if one.topic == topic and one.sent > 100 and one.seconds > 0]
    speeds = [speed for speed in (rate, went[-1] if went else _USUAL_RATES[topic]) if speed]
    return events / min(speeds)


def running_model(settings: Settings) -> str:
    """The model version of the newest live embedding, or of the model that these settings name.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    newest: Embedding | None = None
    with LogReader(settings, Topic.EMBEDDINGS) as log:
        for message in log.messages(log.last(50)):
            try:
                event = codec.decode(message.value, Embedding)
            except CodecError:
                continue
            if newest is None or event.timings.embedded_at > newest.timings.embedded_at:
                newest = event
    return newest.model_version if newest else read_registry(settings).production


def _check_model(settings: Settings, model_version: str) -> None:
    running = running_model(settings)
    if model_version != running:
        raise ReplayError(
            f"the workers run model {running!r}, not {model_version!r}: "
            "start them with the FACESTREAM_MODEL_DIR of that model"
        )


def _shown(at: datetime) -> str:
    return "the beginning" if at.timestamp() == 0 else f"{at:%Y-%m-%dT%H:%M:%S}Z"
