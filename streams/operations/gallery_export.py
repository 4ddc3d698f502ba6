"""Writes the templates of one user, or of all, to a file: a backup, or the way to another installation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from schemas import gallery_file
from schemas.clock import utc_now
from schemas.gallery import Template
from schemas.ids import canonical
from streams.kafka.connection import admin_client, metadata
from streams.matching.stored_gallery import read_templates
from streams.model_registry.records import read_registry
from streams.operations.vector_files import file as vector_file
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
        other_versions: vectors of model versions that were not asked for; they are left out.
    """

    templates: int = 0
    vectors: int = 0
    users: set[str] = field(default_factory=set)
    subjects: set[tuple[str, str]] = field(default_factory=set)
    model_versions: dict[str, int] = field(default_factory=dict)
    erased: int = 0
    consent_ended: int = 0
    other_versions: dict[str, int] = field(default_factory=dict)


def export_gallery(
    settings: Settings,
    path: Path,
    user_id: str | None = None,
    report: Callable[[ExportCounts], None] = lambda counts: None,
    *,
    subject_id: str | None = None,
    model_version: str | None = None,
) -> tuple[str, datetime, ExportCounts]:
    """Write the gallery as its changelog has it now, without people who were erased or whose consent has ended.

    A file of vectors, whose name ends with ``.npz`` or ``.parquet``, has the vectors of one model version.

    Args:
        settings: of the installation.
        path: the file; an older one of this name is replaced when the new one is whole.
        user_id: only this user; None: all.
        report: called now and then with what has been written.
        subject_id: only this subject; None: all.
        model_version: only vectors of this version; None: of all, and in a file of vectors of the production version.

    Returns:
        The digest of the file, when the export began, and what is in it.

    Raises:
        NobodyEnrolled: there is no template to write.
        KafkaUnavailable: no broker answers.
        TopicMissing: the topics have not been created.
        OSError: the file cannot be written.
    """
    user_id, subject_id = (None if name is None else canonical(name) for name in (user_id, subject_id))
    created_at, counts, erased = utc_now(), ExportCounts(), read_erasures(settings)
    is_vectors = path.suffix in vector_file.SUFFIXES
    if is_vectors and model_version is None:
        model_version = read_registry(settings).production
    stored = itertools.chain.from_iterable(_by_partition(settings, user_id, subject_id))
    templates = _exported(_of_version(stored, model_version, counts), erased, counts, report)
    where = installation(settings)
    if is_vectors:
        found = list(templates)
        if found:
            digest = vector_file.write(path, found, created_at=created_at, installation=where, user_id=user_id)
    else:
        first = next(templates, None)
        found = [] if first is None else [first]
        if found:
            together = itertools.chain(found, templates)
            digest = gallery_file.write(
                path, together, created_at=created_at, installation=where, user_id=user_id
            ).sha256
    if not found:
        raise NobodyEnrolled(_nobody(user_id, subject_id, model_version if counts.other_versions else None))
    return digest, created_at, counts


def _nobody(user_id: str | None, subject_id: str | None, model_version: str | None) -> str:
    who = "nobody is enrolled" if user_id is None else f"user {user_id} has nobody enrolled"
    if subject_id is not None:
        who = f"user {user_id} has no template of {subject_id}" if user_id else f"nobody has a template of {subject_id}"
    return who if model_version is None else f"{who} by the model version {model_version}, but by others: see --model"


def _by_partition(settings: Settings, user_id: str | None, subject_id: str | None) -> Iterator[list[Template]]:
    for partition in read_templates(settings, user_id, subject_id):
        partition.sort(key=lambda one: (one.user_id, one.subject_id, one.template_id, one.model_version))
        yield partition


def _of_version(templates: Iterator[Template], model_version: str | None, counts: ExportCounts) -> Iterator[Template]:
    for one in templates:
        if model_version in (None, one.model_version):
            yield one
        else:
            counts.other_versions[one.model_version] = counts.other_versions.get(one.model_version, 0) + 1


def _exported(
    templates: Iterator[Template], erased: Erasures, counts: ExportCounts, report: Callable[[ExportCounts], None]
) -> Iterator[Template]:
    now = utc_now()
    before: tuple[str, str] | None = None
    for one in templates:
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


def installation(settings: Settings) -> str:
    """The Kafka cluster and the prefix of topics, by which an installation recognises its own files.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    return f"{metadata(admin_client(settings), settings).cluster_id}/{settings.topic_prefix}"


def is_erased(template: Template, erased: Erasures) -> bool:
    """Whether the person or the photo was erased after the template was enrolled."""
    return erased.covers_template(template)
