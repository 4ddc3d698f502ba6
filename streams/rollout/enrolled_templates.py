"""The enrolled templates, as the gallery's changelog has them, and those that a model version is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from schemas import codec
from schemas.clock import utc_now
from schemas.errors import CodecError
from schemas.gallery import Template
from streams.kafka.log_tail import LogTail
from streams.matching.changelog import changelog_name
from streams.settings import Settings

Person = tuple[str, str]
"""User and subject."""


@dataclass(frozen=True, slots=True)
class MissingTemplate:
    """A template that only other versions have.

    Attributes:
        template: the template of one of them.
        partition: the partition of its user.
    """

    template: Template
    partition: int


class EnrolledTemplates:
    """The templates of all versions, as far as the changelog has been read; a context manager.

    Attributes:
        templates: templates by user and template id, then by version.
    """

    def __init__(self, settings: Settings) -> None:
        """Connects at the first refresh."""
        self.templates: dict[tuple[str, str], dict[str, Template]] = {}
        self._partitions: dict[str, int] = {}
        self._places: dict[bytes, tuple[tuple[str, str], str]] = {}
        """User and template id, and version, by the record's key."""
        self._tail = LogTail(settings, changelog_name(settings), self._forget)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._tail.close()

    def refresh(self) -> Self:
        """Read what has come since the last call.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: no match worker has ever run.
        """
        for message in self._tail.more():
            if message.key is not None:
                self._take(message.key, message.value, message.source.partition)
        return self

    def lacking(self, version: str) -> list[MissingTemplate]:
        """The templates that a version is missing, without those whose consent has ended."""
        found = []
        for (user_id, _), versions in self.templates.items():
            some = next(iter(versions.values()))
            if version not in versions and not _has_ended(some):
                found.append(MissingTemplate(some, self._partitions[user_id]))
        return found

    def lack(self, ids: Iterable[tuple[str, str]], version: str) -> bool:
        """Whether a version is missing one of these templates that another version has."""
        return any(version not in self.templates.get(one, (version,)) for one in ids)

    def only_of(self, version: str, others: Collection[str]) -> list[Template]:
        """The templates that a version has and none of the others, without those whose consent has ended."""
        return [
            versions[version]
            for versions in self.templates.values()
            if version in versions and not versions.keys() & set(others) and not _has_ended(versions[version])
        ]

    def subjects_of(self, versions: Collection[str]) -> set[Person]:
        """The subjects who have a template of one of these versions, whose consent has not ended."""
        return {
            (one.user_id, one.subject_id)
            for templates in self.templates.values()
            for version, one in templates.items()
            if version in versions and not _has_ended(one)
        }

    def without(self, version: str) -> dict[str, list[str]]:
        """The subjects who have templates, but none of a version, by user."""
        every = {version for versions in self.templates.values() for version in versions}
        found: dict[str, list[str]] = {}
        for user_id, subject_id in sorted(self.subjects_of(every) - self.subjects_of([version])):
            found.setdefault(user_id, []).append(subject_id)
        return found

    def _take(self, key: bytes, value: bytes | None, partition: int) -> None:
        """Add a record; the last one with a key counts."""
        try:
            template = None if value is None else codec.decode(value, Template)
        except CodecError:
            template = None
        now = None if template is None else ((template.user_id, template.template_id), template.model_version)
        before = self._places.pop(key, None)
        if before is not None and before != now:
            del self.templates[before[0]][before[1]]
            if not self.templates[before[0]]:
                del self.templates[before[0]]
        if template is not None and now is not None:
            self._places[key] = now
            self.templates.setdefault(now[0], {})[now[1]] = template
            self._partitions[template.user_id] = partition

    def _forget(self) -> None:
        self.templates.clear()
        self._places.clear()


def _has_ended(template: Template) -> bool:
    ends = template.consent.expires_at
    return ends is not None and ends <= utc_now()


def read_enrolled(settings: Settings) -> EnrolledTemplates:
    """Read the whole changelog, once; see :meth:`EnrolledTemplates.refresh`."""
    with EnrolledTemplates(settings) as enrolled:
        return enrolled.refresh()
