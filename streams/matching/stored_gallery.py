"""The enrolled templates as the gallery's changelog has them, a partition at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from schemas import template_records
from schemas.errors import CodecError
from schemas.gallery import Template
from schemas.ids import canonical, spellings
from schemas.ingest import Consent
from streams.kafka.log_reader import LogReader
from streams.kafka.topics import TopicMissing
from streams.matching.changelog import changelog_name
from streams.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """One template of one model version, without its vector."""

    user_id: str
    subject_id: str
    template_id: str
    model_version: str
    enrolled_at: datetime
    consent: Consent


def read_stored(
    settings: Settings, user_id: str | None = None, subject_id: str | None = None
) -> Iterator[list[StoredTemplate]]:
    """The templates of each partition in turn, so that no more than one partition is in memory.

    Args:
        settings: of the cluster.
        user_id: only templates of this user; None: of all.
        subject_id: only templates of this subject; None: of all.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    return _read(settings, user_id, subject_id, _without_vector)


def read_templates(
    settings: Settings, user_id: str | None = None, subject_id: str | None = None
) -> Iterator[list[Template]]:
    """The same with their vectors.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    return _read(settings, user_id, subject_id, lambda template: template)


def _read(
    settings: Settings, user_id: str | None, subject_id: str | None, kept: Callable[[Template], T]
) -> Iterator[list[T]]:
    user_id, subject_id = (None if name is None else canonical(name) for name in (user_id, subject_id))
    with closing(LogReader(settings, changelog_name(settings))) as log:
        try:
            ranges = log.since({})
            if user_id is not None:
                numbers = {log.partition_of(name) for name in spellings(user_id)}
                ranges = [one for one in ranges if one.partition in numbers]
        except TopicMissing:  # No match worker has ever run, so nobody is enrolled.
            return
        for one in ranges:
            last: dict[bytes, T] = {}
            for message in log.messages([one]):
                key = message.key or b""
                if user_id is not None and canonical(key.partition(b"\x00")[0].decode(errors="replace")) != user_id:
                    continue
                template = _template(message.value)
                if template is None or subject_id not in (None, template.subject_id):
                    last.pop(key, None)
                else:
                    last[key] = kept(template)
            yield list(last.values())


def _template(value: bytes | None) -> Template | None:
    """What a record of the changelog says; None for a tombstone, and for a record that cannot be read."""
    try:
        return None if value is None else template_records.decode(value)
    except CodecError:
        return None


def _without_vector(found: Template) -> StoredTemplate:
    return StoredTemplate(
        found.user_id, found.subject_id, found.template_id, found.model_version, found.enrolled_at, found.consent
    )
