"""Makes the templates of a new model version for everybody who is enrolled, while the old version answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

import confluent_kafka

from schemas import codec
from schemas.embeddings import Reembedding
from schemas.gallery import Template
from schemas.rollout import ModelRecord
from streams.kafka.connection import KafkaUnavailable, admin_client, make_producer
from streams.kafka.consumer_groups import describe_group, group_id
from streams.kafka.topics import Topic
from streams.model_registry import records, transitions
from streams.model_registry.errors import RolloutError
from streams.observability.health_client import health_of
from streams.roles import Role
from streams.rollout.enrolled_templates import EnrolledTemplates, MissingTemplate
from streams.rollout.vector_sources import VectorSource
from streams.settings import Settings

_Id = tuple[str, str]
"""User and id of a template."""

_FOLLOW_S = 60.0
_ARRIVE_S = 60.0
_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """Templates that have been made, of those that were missing."""

    made: int
    lacking: int


@dataclass(frozen=True, slots=True)
class Backfilled:
    """The result of a backfill.

    Attributes:
        made: templates that were made.
        stragglers: users with templates that cannot be made.
        left_behind: by user, the subjects who have no template of the version at all.
    """

    made: int
    stragglers: list[str]
    left_behind: Mapping[str, list[str]] = field(default_factory=dict)


def backfill(
    settings: Settings,
    version: str,
    sources: Sequence[VectorSource],
    *,
    rate: float | None = None,
    say: Callable[[BackfillProgress], None] = lambda progress: None,
) -> Backfilled:
    """Make the templates that a version is missing, and record that it is backfilled. Repeating it changes nothing.

    Args:
        settings: where Kafka is.
        version: a shadow or canary, or the version in production.
        sources: asked in this order, each for the templates that those before it could not make.
        rate: most templates a second; None: as fast as possible.
        say: called with the progress.

    Raises:
        RolloutError: embed does not use this version, or match does not take what is sent.
        KafkaUnavailable: a broker does not answer.
    """
    base = records.base_card(settings).version
    _record(settings, version, base)
    _await_embed(settings, version)
    producer = make_producer(settings, {"linger.ms": 5})
    made: set[_Id] = set()
    hopeless: set[_Id] = set()
    with EnrolledTemplates(settings) as enrolled:
        while lacking := [one for one in enrolled.refresh().lacking(version) if _id(one.template) not in hopeless]:
            sent: set[_Id] = set()
            for template_id in _send(settings, producer, version, lacking, sources, rate):
                sent.add(template_id)
                say(BackfillProgress(len(made) + len(sent), len(made) + len(lacking)))
            _await_match(enrolled, version, sent)
            made |= sent
            hopeless |= {_id(one.template) for one in lacking} - sent
        stragglers = sorted({user_id for user_id, _ in hopeless & enrolled.refresh().templates.keys()})
        left_behind = enrolled.without(version)
    record = _record(settings, version, base)
    if not record.filled or record.stragglers != stragglers:
        records.write(settings, transitions.filled(record, stragglers))
    return Backfilled(len(made), stragglers, left_behind)


def _send(
    settings: Settings,
    producer: confluent_kafka.Producer,
    version: str,
    lacking: Sequence[MissingTemplate],
    sources: Sequence[VectorSource],
    rate: float | None,
) -> Iterator[_Id]:
    """Send a new vector of each template for which a source has one; yield what was sent."""
    left = {_id(one.template): one for one in lacking}
    began, count = time.monotonic(), 0
    for source in sources:
        for template, vector in source([one.template for one in left.values()]):
            one = left.pop(_id(template))
            event = Reembedding(template.template_id, template.user_id, version, vector)
            producer.produce(
                Topic.EMBEDDINGS.named(settings), codec.encode(event), template.user_id, partition=one.partition
            )
            count += 1
            if rate is not None:
                time.sleep(max(0.0, began + count / rate - time.monotonic()))
            producer.poll(0)
            yield _id(template)
    if producer.flush(_ARRIVE_S):
        raise KafkaUnavailable(f"{settings.kafka} has not taken the new templates within {_ARRIVE_S:g} s")


def _await_match(enrolled: EnrolledTemplates, version: str, sent: Set[_Id]) -> None:
    """Wait until the gallery has the templates that were sent, or no longer has them in any version."""
    deadline = time.monotonic() + _ARRIVE_S
    while enrolled.refresh().lack(sent, version):
        if time.monotonic() > deadline:
            raise RolloutError(
                f"match does not take the templates of {version}: see `facestream doctor`, and do this again"
            )
        time.sleep(_AGAIN_S)


def _await_embed(settings: Settings, version: str) -> None:
    """Wait until every embed worker that can be asked has loaded the version, so that no upload comes without it."""
    deadline = time.monotonic() + _FOLLOW_S
    admin = admin_client(settings)
    while True:
        waiting = []
        for member in describe_group(admin, group_id(Role.EMBED, settings)).members:
            models = (health_of(member, settings) or {}).get("models") or {}
            if why := models.get("failed", {}).get(version):
                raise RolloutError(f"{member.name} on {member.machine} does not use {version}: {why}")
            if models and version not in models["loaded"]:
                waiting.append(member.name)
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise RolloutError(f"{', '.join(waiting)} has not loaded {version} within {_FOLLOW_S:g} s: see its log")
        time.sleep(_AGAIN_S)


def _record(settings: Settings, version: str, base: str) -> ModelRecord:
    """The record of a version that is being rolled out.

    Raises:
        RolloutError: it is not being rolled out; writing its record again would put an old version in production.
    """
    registry = records.read_registry(settings, base)
    record = registry.record(version)
    if record is None or version not in (*registry.shadows, *registry.canaries, registry.production):
        raise RolloutError(f"{version} is not being rolled out: `facestream models shadow {version}` first")
    return record


def _id(template: Template) -> _Id:
    return template.user_id, template.template_id
