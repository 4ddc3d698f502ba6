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
        now = utc_now()
        found = []
        for (user_id, _), versions in self.templates.items():
            some = next(iter(versions.values()))
            ended = some.consent.expires_at is not None and some.consent.expires_at <= now
            if version not in versions and not ended:
                found.append(MissingTemplate(some, self._partitions[user_id]))
        return found

    def lack(self, ids: Iterable[tuple[str, str]], version: str) -> bool:
        """Whether a version is missing one of these templates that another version has."""
        return any(version not in self.templates.get(one, (version,)) for one in ids)

    def only_of(self, version: str, others: Collection[str]) -> list[Template]:
        """The templates that a version has and none of the others."""
        return [
            versions[version]
            for versions in self.templates.values()
            if version in versions and not versions.keys() & set(others)
        ]

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


def read_enrolled(settings: Settings) -> EnrolledTemplates:
    """Read the whole changelog, once; see :meth:`EnrolledTemplates.refresh`."""
    with EnrolledTemplates(settings) as enrolled:
        return enrolled.refresh()
