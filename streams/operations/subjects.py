"""Who is enrolled, as the gallery's changelog has it, and who needs a new photo since a model version was retired."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from models.embedder.registry_snapshot import RegistrySnapshot
from schemas.ids import canonical
from schemas.ingest import Consent
from streams.kafka.topics import TopicMissing
from streams.matching.stored_gallery import StoredTemplate, read_stored
from streams.model_registry.records import read_registry
from streams.settings import Settings

SubjectStatus = Literal["enrolled", "left_behind", "enrol_again"]


@dataclass(frozen=True, slots=True)
class EnrolledSubject:
    """A person in a user's gallery.

    Attributes:
        user_id: the owner of the gallery.
        subject_id: the person.
        templates: the number of enrolled photos; one with vectors of several model versions counts once.
        model_versions: the versions that have at least one of them, and how many each has.
        first_enrolled_at: the time of the first photo.
        last_enrolled_at: the time of the last photo.
        consent: what the person agreed to with the last photo.
    """

    user_id: str
    subject_id: str
    templates: int
    model_versions: dict[str, int]
    first_enrolled_at: datetime
    last_enrolled_at: datetime
    consent: Consent


@dataclass(frozen=True, slots=True)
class SubjectWithoutTemplates:
    """A subject who was enrolled, and needs a new photo: no version that may answer has a template."""

    user_id: str
    subject_id: str
    model_version: str
    retired_at: datetime


def read_versions(settings: Settings) -> RegistrySnapshot | None:
    """The states of the model versions; None if no version has ever been rolled out, so that there is only one.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    try:
        registry = read_registry(settings)
    except TopicMissing:
        return None
    return registry if registry.records else None


def status(one: EnrolledSubject, registry: RegistrySnapshot | None) -> SubjectStatus:
    """Which version answers for a subject: that in production, one before it, or none."""
    if registry is None or registry.production in one.model_versions:
        return "enrolled"
    return "enrol_again" if one.model_versions.keys().isdisjoint(registry.active) else "left_behind"


def subjects_to_enrol_again(
    registry: RegistrySnapshot | None,
    enrolled: Iterable[EnrolledSubject],
    user_id: str | None = None,
    subject_id: str | None = None,
) -> list[SubjectWithoutTemplates]:
    """The subjects who were given up with a retired version, and have not been enrolled since.

    Args:
        registry: the states of the versions.
        enrolled: who is enrolled now. Templates of a version that cannot answer do not count.
        user_id: only subjects of this user; None: of all.
        subject_id: only this subject.
    """
    if registry is None:
        return []
    wanted_user, wanted = (None if name is None else canonical(name) for name in (user_id, subject_id))
    there = {(one.user_id, one.subject_id) for one in enrolled if status(one, registry) != "enrol_again"}
    return [
        SubjectWithoutTemplates(one.user_id, one.subject_id, record.version, record.changed_at)
        for record in registry.records
        for one in record.given_up
        if (one.user_id, one.subject_id) not in there
        and wanted_user in (None, one.user_id)
        and wanted in (None, one.subject_id)
    ]


def enrolled_subjects(
    settings: Settings, user_id: str | None = None, subject_id: str | None = None
) -> Iterator[EnrolledSubject]:
    """The subjects of a user, or of all users; None: of all. A user is in one partition, and they come by partition.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    for partition in read_stored(settings, user_id, subject_id):
        people: dict[tuple[str, str], list[StoredTemplate]] = defaultdict(list)
        for one in partition:
            people[one.user_id, one.subject_id].append(one)
        for person in sorted(people):
            yield _summary(people[person])


def _summary(templates: list[StoredTemplate]) -> EnrolledSubject:
    last = max(templates, key=lambda one: one.enrolled_at)
    versions = sorted({one.model_version for one in templates})
    return EnrolledSubject(
        user_id=last.user_id,
        subject_id=last.subject_id,
        templates=len({one.template_id for one in templates}),
        model_versions={name: sum(one.model_version == name for one in templates) for name in versions},
        first_enrolled_at=min(one.enrolled_at for one in templates),
        last_enrolled_at=last.enrolled_at,
        consent=last.consent,
    )
