"""Requests an erasure, waits for the roles that carry it out, and makes a receipt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import datetime, timedelta

from models.embedder.card import Card, UnusableModel
from models.embedder.registry_snapshot import RegistrySnapshot
from schemas import codec
from schemas.clock import utc_now
from schemas.erasure import ErasedPhoto, Erasure
from schemas.errors import CodecError
from schemas.ids import canonical, canonical_event_id, new_event_id
from schemas.learning import RunState
from schemas.receipts import Receipt
from schemas.rollout import ModelState
from streams.kafka.consumer_groups import OffsetsClient, group_id
from streams.kafka.log_reader import LogReader
from streams.kafka.topic_specs import topic_specs
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.model_registry.records import card_of, read_registry, write
from streams.model_registry.transitions import without
from streams.operations.photo_uploads import uploads_of_photo
from streams.retraining.run_log import runs
from streams.roles import Role
from streams.settings import Settings
from streams.training_data.chip_store import ChipsOf, KeptChip

_ERASING = (Role.MATCH, Role.SINK_REDIS, Role.SINK_BIGQUERY, Role.DRIFT, Role.SIGHTINGS, Role.HOOKS)
_SINKS = (Role.SINK_REDIS, Role.SINK_BIGQUERY)
_LOGS = (
    *(Topic.PROBES, Topic.SEARCH_PARTS),
    *(Topic.UPLOADS, Topic.FRAMES, Topic.EMBEDDINGS, Topic.MATCHES, Topic.COMPARISONS, Topic.ENROLMENTS),
    *(Topic.SIGHTINGS, Topic.OPEN_SIGHTINGS, Topic.HOOK_DELIVERIES),
    *(Topic.CHIPS, Topic.DRIFT, Topic.DRIFT_REFERENCES, Topic.FEEDBACK, Topic.DEAD_LETTERS),
)
"""Topics that may hold data of a person."""
_ASK_S = 0.2


def erase(
    settings: Settings,
    user_id: str,
    subject_id: str | None = None,
    *,
    photo: str | None = None,
    timeout_s: float = 60.0,
    report: Callable[[str], None] = lambda role: None,
) -> Receipt:
    """Erase a user, a subject or a photo: templates, chips, results, rows; and the state of the user's cameras.

    Of a photo it is its template, its chip, and the outcomes of all its uploads that are known. Names may be spelt in
    any form. Everything that came in before is erased, also what is still on its way; what comes later is new. Safe to
    repeat.

    Args:
        settings: of the cluster.
        user_id: the user.
        subject_id: the subject; None: all subjects.
        photo: the event id of an upload: only this photo of the subject; None: all.
        timeout_s: seconds to wait for the roles.
        report: called with each role that has done its part.

    Raises:
        KafkaUnavailable: no broker answers; if the request was sent before that, the roles carry it out.
        TopicMissing: a topic has not been created.
        ValueError: a photo without its subject.
        InvalidId: ``photo`` is no event id.
    """
    user_id, subject_id = canonical(user_id), None if subject_id is None else canonical(subject_id)
    if photo is not None and subject_id is None:
        raise ValueError("say whose photo it is: give the subject too")
    uploads = [] if photo is None else uploads_of_photo(settings, user_id, subject_id or "", canonical_event_id(photo))
    asked = Erasure(
        new_event_id(), user_id, utc_now(), subject_id, photo=None if photo is None else ErasedPhoto(uploads)
    )
    with ChipsOf(settings, user_id, subject_id, uploads) as kept:
        chips = kept.refresh()
        removed, missing = _ask(settings, asked, timeout_s, report)
        # Match removes the chips of templates; these are the others.
        left = kept.remove()
    removed["chips"] = {"faces": len({one.chip.event_id for one in [*chips, *left]})}
    if photo is None and (named := without(read_registry(settings), user_id, subject_id)):
        for record in named:
            write(settings, record)
        removed["models"] = {"names": len(named)}
    return Receipt(
        erasure_id=asked.erasure_id,
        user_id=user_id,
        subject_id=subject_id,
        requested_at=asked.requested_at,
        completed_at=None if missing else utc_now(),
        removed=removed,
        waiting_for=tuple(missing),
        logs_until=_logs_until(settings),
        may_have_learned=tuple(_learned(settings, chips)),
        photo=tuple(uploads),
    )


def erasing_roles(settings: Settings) -> list[Role]:
    """The roles that may have something to erase: a role that has never run, and so never committed, has nothing.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    with OffsetsClient(settings) as commits:
        return [role for role in _ERASING if role is Role.MATCH or commits.of(group_id(role, settings))]


def _ask(
    settings: Settings, asked: Erasure, timeout_s: float, report: Callable[[str], None]
) -> tuple[dict[str, Mapping[str, int]], list[Role]]:
    """What each role has removed, and the roles that have not answered; a role that never ran is not asked.

    If there have been searches over all users, each sink answers for each partition besides.
    """
    roles = erasing_roles(settings)
    removed: dict[str, Mapping[str, int]] = {}
    copies: set[int] = set()
    in_searches: dict[str, dict[int, int]] = {role: {} for role in _SINKS if role in roles}
    with closing(ErasureAnswers(settings, asked.erasure_id)) as answers:
        RecordWriter(settings, Topic.ERASURES).write(asked.user_id, codec.encode(asked))
        deadline, missing = time.monotonic() + timeout_s, roles
        while time.monotonic() < deadline:
            # Match makes all copies before it answers, so that they are found with its answer or by the next look.
            all_copied = Role.MATCH in removed
            for partition, answer in answers.new(_ASK_S):
                if answer.in_searches and answer.stage == Role.MATCH:
                    copies.add(partition)
                elif answer.in_searches:
                    in_searches.get(str(answer.stage), {})[partition] = sum(answer.removed.values())
                elif answer.stage in _ERASING and answer.stage not in removed:
                    removed[answer.stage] = answer.removed
                    report(answer.stage)
            missing = [
                role for role in roles if role not in removed or not copies.issubset(in_searches.get(role, copies))
            ]
            if all_copied and not missing:
                break
    for role, changed in in_searches.items():
        if role in removed and any(changed.values()):
            removed[role] = {**removed[role], "searches": sum(changed.values())}
    return removed, missing


def _logs_until(settings: Settings) -> dict[str, datetime]:
    now = utc_now()
    return {one.name: now + timedelta(milliseconds=one.kept_ms) for one in topic_specs(settings) if one.topic in _LOGS}


def _learned(settings: Settings, chips: list[KeptChip]) -> list[str]:
    """Versions that may have been trained on one of the chips and are not retired, and trainings that are under way.

    Nothing can be removed from their weights.
    """
    registry, topic = read_registry(settings), Topic.CHIPS.named(settings)
    read_to: dict[str, Mapping[int, int]] = {}
    for run in runs(settings):
        if run.state not in (RunState.SKIPPED, RunState.FAILED):
            ends = {one.partition: one.offset for one in run.until if one.topic == Topic.CHIPS}
            read_to[run.version or f"run {run.run_id}"] = ends
    for card in _cards(settings, registry):
        if card.lineage is not None:
            read_to[card.version] = card.lineage.source.offsets.get(topic, {})
    return [
        version
        for version, ends in read_to.items()
        if registry.state(version) is not ModelState.RETIRED
        and any(one.offset < ends.get(one.partition, 0) for one in chips)
    ]


def _cards(settings: Settings, registry: RegistrySnapshot) -> Iterator[Card]:
    """The cards of versions that were rolled out, and of those in the folder of versions."""
    for path in settings.versions_dir.glob("*/card.json"):
        with suppress(UnusableModel):
            yield Card.read(path.parent)
    for record in registry.records:
        with suppress(UnusableModel):
            yield card_of(record)


class ErasureAnswers:
    """The answers of the roles to one erasure."""

    def __init__(self, settings: Settings, erasure_id: str) -> None:
        """Begin at the end of the topic; to be made before the request is sent.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topic has not been created.
        """
        self._erasure_id = erasure_id
        self._log = LogReader(settings, Topic.ERASURES)
        self._next = {one.partition: one.end_offset for one in self._log.since({})}

    def new(self, timeout_s: float) -> list[tuple[int, Erasure]]:
        """Wait for a while, then return the answers since the last call, each with its partition.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        time.sleep(timeout_s)
        found = []
        ranges = self._log.since(self._next)
        for message in self._log.messages(ranges):
            with suppress(CodecError):
                answer = codec.decode(message.value, Erasure)
                if answer.erasure_id == self._erasure_id and answer.stage is not None:
                    found.append((message.source.partition, answer))
        self._next |= {one.partition: one.end_offset for one in ranges}
        return found

    def close(self) -> None:
        """Disconnect."""
        self._log.close()
