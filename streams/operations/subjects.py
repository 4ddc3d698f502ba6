"""Who is enrolled: the subjects of the galleries, as the gallery's changelog has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from schemas.ingest import Consent
from streams.matching.stored_gallery import StoredTemplate, read_stored
from streams.settings import Settings


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
