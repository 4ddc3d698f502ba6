"""Counts what an erasure would remove now, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

import redis

from models.sightings.tracker import names
from schemas.erasure import ErasedPhoto
from schemas.ids import canonical, canonical_event_id
from sinks.base import SinkUnavailable
from sinks.bigquery.erase import count, count_in_searches, count_photo
from sinks.bigquery.query import NotThere, QueryFailed
from sinks.redis.address import RedisAddress
from sinks.redis.connection import connect
from sinks.redis.erase import Eraser
from sinks.redis.errors import explained
from sinks.redis.keys import Keys
from sinks.redis.sightings import SightingEraser
from streams.drift.samples import read_samples
from streams.hooks.pending_log import WhoIsErased, read_waiting
from streams.kafka.log_reader import LogReader
from streams.kafka.topics import Topic
from streams.matching.stored_gallery import read_stored
from streams.operations.erase import erasing_roles
from streams.operations.photo_uploads import uploads_of_photo
from streams.operations.written_log import dataset
from streams.roles import Role
from streams.settings import Settings
from streams.sightings.open_log import read_open
from streams.training_data.chip_store import read_kept_chips

Count = Callable[[Settings, str, str | None], Mapping[str, int]]
"""Counts what a role would remove of a user and a subject."""


@dataclass(frozen=True, slots=True)
class ErasurePreview:
    """What an erasure would remove.

    Attributes:
        user_id: the user.
        subject_id: the subject; None: the user with all subjects.
        would_remove: numbers of things, by role and for ``chips``, as in the receipt of an erasure.
        not_counted: roles whose service does not answer, and why.
    """

    user_id: str
    subject_id: str | None
    would_remove: Mapping[str, Mapping[str, int]]
    not_counted: Mapping[str, str]


def preview_photo_erasure(settings: Settings, user_id: str, subject_id: str, photo: str) -> ErasurePreview:
    """Count what :func:`streams.operations.erase.erase` would remove for one photo, by the event id of an upload of it.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: a topic has not been created.
        InvalidId: ``photo`` is no event id.
    """
    user_id, subject_id = canonical(user_id), canonical(subject_id)
    uploads = uploads_of_photo(settings, user_id, subject_id, canonical_event_id(photo))

    def templates(settings: Settings, user_id: str, subject_id: str | None) -> dict[str, int]:
        stored = {one.template_id for part in read_stored(settings, user_id, subject_id) for one in part}
        return {"templates": len(stored.intersection(uploads))}

    def answers(settings: Settings, user_id: str, subject_id: str | None) -> dict[str, int]:
        with closing(connect(RedisAddress.of(settings))) as client:
            eraser = Eraser(client, Keys(settings.redis_prefix), dry_run=True)
            return eraser.photo(user_id, subject_id or "", ErasedPhoto(uploads))

    def rows(settings: Settings, user_id: str, subject_id: str | None) -> dict[str, int]:
        where = dataset(settings)
        with closing(where.rest_client()) as client:
            try:
                return count_photo(client, where.dataset_id, user_id, subject_id or "", uploads)
            except NotThere:
                return {}

    def chips(settings: Settings, user_id: str, subject_id: str | None) -> dict[str, int]:
        kept = read_kept_chips(settings, None, user_id, subject_id).chips
        return {"faces": len(kept.keys() & set(uploads))}

    counts = {Role.MATCH: templates, Role.SINK_REDIS: answers, Role.SINK_BIGQUERY: rows, "chips": chips}
    return _preview(settings, user_id, subject_id, counts)


def preview_erasure(settings: Settings, user_id: str, subject_id: str | None = None) -> ErasurePreview:
    """Count what :func:`streams.operations.erase.erase` would remove; what is still on its way is not counted.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: a topic has not been created.
    """
    return _preview(settings, canonical(user_id), None if subject_id is None else canonical(subject_id), _COUNTS)


def _preview(settings: Settings, user_id: str, subject_id: str | None, counts: Mapping[str, Count]) -> ErasurePreview:
    counted: dict[str, Mapping[str, int]] = {}
    problems: dict[str, str] = {}
    roles = {*erasing_roles(settings), "chips"}
    for role, ask in counts.items():
        if role not in roles:
            continue
        try:
            counted[role] = ask(settings, user_id, subject_id)
        except redis.RedisError as error:
            problems[role] = explained(error)
        except (SinkUnavailable, QueryFailed, OSError, ValueError) as error:
            problems[role] = " ".join(str(error).split())
    return ErasurePreview(user_id, subject_id, counted, problems)


def _templates(settings: Settings, user_id: str, subject_id: str | None) -> dict[str, int]:
    ids = {one.template_id for part in read_stored(settings, user_id, subject_id) for one in part}
    return {"templates": len(ids)}


def _answers(settings: Settings, user_id: str, subject_id: str | None) -> dict[str, int]:
    with closing(connect(RedisAddress.of(settings))) as client:
        keys = Keys(settings.redis_prefix)
        eraser = Eraser(client, keys, dry_run=True)
        found = eraser.user(user_id) if subject_id is None else eraser.subject(user_id, subject_id)
        found |= {"sightings": SightingEraser(client, keys, dry_run=True).erase(user_id, subject_id)}
        return found | _if_any(eraser.in_searches(user_id, subject_id))


def _rows(settings: Settings, user_id: str, subject_id: str | None) -> dict[str, int]:
    where = dataset(settings)
    with closing(where.rest_client()) as client:
        try:
            found = count(client, where.dataset_id, user_id, subject_id)
            return found | _if_any(count_in_searches(client, where.dataset_id, user_id, subject_id))
        except NotThere:  # The sink makes the tables: it has not written anything yet.
            return {}


def _if_any(found: Mapping[str, int]) -> dict[str, int]:
    """Receipts too tell of searches only where they named somebody."""
    return {name: number for name, number in found.items() if number}


def _cameras(settings: Settings, user_id: str, _: str | None) -> dict[str, int]:
    with LogReader(settings, Topic.DRIFT_REFERENCES) as log:
        numbers = {log.partition_of(user_id)}
    return {
        "drift_references": len(
            {one.camera for one in read_samples(settings, numbers) if one.camera.user_id == user_id}
        )
    }


def _open_sightings(settings: Settings, user_id: str, subject_id: str | None) -> dict[str, int]:
    with LogReader(settings, Topic.OPEN_SIGHTINGS) as log:
        numbers = {log.partition_of(user_id)}
    cameras = [known for _, known in read_open(settings, numbers) if known.user_id == user_id]
    return {"open_sightings": sum(subject_id is None or names(one, subject_id) for one in cameras)}


def _hook_deliveries(settings: Settings, user_id: str, subject_id: str | None) -> dict[str, int]:
    with LogReader(settings, Topic.HOOK_DELIVERIES) as log:
        numbers = {log.partition_of(user_id)}
    who = WhoIsErased(user_id, subject_id)
    return {"hook_deliveries": sum(who.is_in(one.event) for one in read_waiting(settings, numbers))}


def _chips(settings: Settings, user_id: str, subject_id: str | None) -> dict[str, int]:
    return {"faces": len(read_kept_chips(settings, None, user_id, subject_id).chips)}


_COUNTS: Mapping[str, Count] = {
    Role.MATCH: _templates,
    Role.SINK_REDIS: _answers,
    Role.SINK_BIGQUERY: _rows,
    Role.DRIFT: _cameras,
    Role.SIGHTINGS: _open_sightings,
    Role.HOOKS: _hook_deliveries,
    "chips": _chips,
}
