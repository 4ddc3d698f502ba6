"""Writes the templates of one user, or of all, to a file: a backup, or the way to another installation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from schemas import gallery_file
from schemas.clock import utc_now
from schemas.gallery import Template
from schemas.gallery_file import GalleryFile
from schemas.ids import canonical
from streams.kafka.connection import admin_client, metadata
from streams.matching.stored_gallery import read_templates
from streams.privacy.erasures import Erasures, read_erasures
from streams.settings import Settings


class NobodyEnrolled(Exception):
    """There is nothing to export; an older file stays as it is."""


@dataclass(slots=True)
class ExportCounts:
    """What an export has met.

    Attributes:
        templates: enrolled photos that it has written.
        vectors: their vectors, one for each model version of each.
        users: their users.
        subjects: their subjects, each with its user.
        model_versions: the versions, with the number of vectors.
        erased: templates of people who were erased, which match has not removed yet; they are left out.
        consent_ended: templates whose consent has ended; they are left out.
    """

    templates: int = 0
    vectors: int = 0
    users: set[str] = field(default_factory=set)
    subjects: set[tuple[str, str]] = field(default_factory=set)
    model_versions: dict[str, int] = field(default_factory=dict)
    erased: int = 0
    consent_ended: int = 0


def export_gallery(
    settings: Settings,
    path: Path,
    user_id: str | None = None,
    report: Callable[[ExportCounts], None] = lambda counts: None,
) -> tuple[GalleryFile, ExportCounts]:
    """Write the gallery as its changelog has it now, without people who were erased or whose consent has ended.

    Args:
        settings: of the installation.
        path: the file; an older one of this name is replaced when the new one is whole.
        user_id: only this user; None: all.
        report: called now and then with what has been written.

    Raises:
        NobodyEnrolled: there is no template to write.
        KafkaUnavailable: no broker answers.
        TopicMissing: the topics have not been created.
        OSError: the file cannot be written.
    """
    user_id = None if user_id is None else canonical(user_id)
    created_at, counts, erased = utc_now(), ExportCounts(), read_erasures(settings)
    templates = _exported(settings, user_id, erased, counts, report)
    file = gallery_file.write(
        path, templates, created_at=created_at, installation=installation(settings), user_id=user_id
    )
    return file, counts


def _exported(
    settings: Settings,
    user_id: str | None,
    erased: Erasures,
    counts: ExportCounts,
    report: Callable[[ExportCounts], None],
) -> Iterator[Template]:
    now = utc_now()
    for partition in read_templates(settings, user_id):
        partition.sort(key=lambda one: (one.user_id, one.subject_id, one.template_id, one.model_version))
        before: tuple[str, str] | None = None
        for one in partition:
            is_new, before = before != (one.user_id, one.template_id), (one.user_id, one.template_id)
            if is_erased(one, erased):
                counts.erased += is_new
                continue
            if one.consent.expires_at is not None and one.consent.expires_at <= now:
                counts.consent_ended += is_new
                continue
            counts.templates += is_new
            counts.vectors += 1
            counts.users.add(one.user_id)
            counts.subjects.add((one.user_id, one.subject_id))
            counts.model_versions[one.model_version] = counts.model_versions.get(one.model_version, 0) + 1
            yield one
            report(counts)
    if not counts.vectors:
        raise NobodyEnrolled(f"user {user_id} has nobody enrolled" if user_id else "nobody is enrolled")


def installation(settings: Settings) -> str:
    """The Kafka cluster and the prefix of topics, by which an installation recognises its own files.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    return f"{metadata(admin_client(settings), settings).cluster_id}/{settings.topic_prefix}"


def is_erased(template: Template, erased: Erasures) -> bool:
    """Whether the person was erased after the template was enrolled."""
    at_ms = round(template.enrolled_at.timestamp() * 1000)
    return erased.covers(at_ms, template.user_id, [template.subject_id])
