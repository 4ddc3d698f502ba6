"""What is enrolled, as the gallery's changelog says: which templates a model version lacks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from schemas import codec
from schemas.errors import CodecError
from schemas.events import Template, utc_now
from streams.changelog import changelog_name
from streams.settings import Settings
from streams.topic_reader import read_topic


@dataclass(frozen=True, slots=True)
class Lacking:
    """A template that there is of other versions only.

    Attributes:
        template: of one of them.
        partition: of its user.
    """

    template: Template
    partition: int


@dataclass(slots=True)
class Enrolled:
    """The templates of all versions, by user and template id, and the partition of each user."""

    templates: dict[tuple[str, str], dict[str, Template]] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)

    def lacking(self, version: str) -> list[Lacking]:
        """The templates that there are not of a version, and whose consent has not ended."""
        now = utc_now()
        found = []
        for (user_id, _), versions in self.templates.items():
            some = next(iter(versions.values()))
            ended = some.consent.expires_at is not None and some.consent.expires_at <= now
            if version not in versions and not ended:
                found.append(Lacking(some, self.partitions[user_id]))
        return found

    def only_of(self, version: str, others: Collection[str]) -> list[Template]:
        """The templates of a version that there are of none of the others."""
        return [
            versions[version]
            for versions in self.templates.values()
            if version in versions and not versions.keys() & set(others)
        ]


def read_enrolled(settings: Settings) -> Enrolled:
    """Read the whole changelog.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: no match worker has ever run.
    """
    last: dict[bytes, tuple[int, bytes | None]] = {}
    for message in read_topic(settings, changelog_name(settings)):
        key = message.key()
        if isinstance(key, bytes):
            last[key] = message.partition() or 0, message.value()
    found = Enrolled()
    for partition, value in last.values():
        if value is None:
            continue
        try:
            template = codec.decode(value, Template)
        except CodecError:
            continue
        found.templates.setdefault((template.user_id, template.template_id), {})[template.model_version] = template
        found.partitions[template.user_id] = partition
    return found
