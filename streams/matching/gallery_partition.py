"""One partition of the gallery as batches change it: the shard in memory at once, the table once it is delivered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.gallery import Template
from schemas.searched_template import SearchedTemplate
from streams.matching.consent_ends import TemplateKey
from streams.matching.gallery_shard import GalleryShard


@dataclass(slots=True)
class GalleryChange:
    """What an event changes in the gallery.

    Attributes:
        kept: templates to write.
        removed: templates to remove.
        chips: event ids of faces that must not be used for training, because a copy of the photo is kept, or nothing.
        encoded: the templates to write as they came encoded; none: they have to be encoded yet.
    """

    kept: list[Template] = field(default_factory=list)
    removed: list[TemplateKey] = field(default_factory=list)
    chips: list[str] = field(default_factory=list)
    encoded: list[bytes] = field(default_factory=list)


class TemplateStore(Protocol):
    """Reads complete templates."""

    def template(self, partition: int, user_id: str, template_id: str, model_version: str) -> Template | None:
        """One template as it was last written; None if it is not there."""


class GalleryPartition:
    """A shard in memory over its part of the table, and the changes that have not been delivered to the table yet.

    Changes are kept until :meth:`delivered`, so that a batch that is processed again is decided alike.
    """

    def __init__(self, number: int, shard: GalleryShard, table: TemplateStore, written_to: int | None = None) -> None:
        """``written_to`` is the changelog offset up to which the shard has the changes of the table."""
        self.number = number
        self.shard = shard
        self.written_to = written_to
        self._table = table
        self._undelivered: dict[TemplateKey, Template | None] = {}

    def template(self, user_id: str, template_id: str, model_version: str) -> Template | None:
        """One template, as the last change left it; None if it is not there."""
        if (key := (user_id, template_id, model_version)) in self._undelivered:
            return self._undelivered[key]
        return self.stored(*key)

    def stored(self, user_id: str, template_id: str, model_version: str) -> Template | None:
        """One template as the table has it; None if it is not there."""
        return self._table.template(self.number, user_id, template_id, model_version)

    def keep(self, templates: Iterable[Template]) -> None:
        """Add or replace templates."""
        for template in templates:
            self.shard.add(template)
            self._undelivered[template.user_id, template.template_id, template.model_version] = template

    def keep_new(self, templates: Sequence[Template]) -> None:
        """Add templates that are not there yet: many at once are faster."""
        self.shard.fill(map(SearchedTemplate.of, templates))
        for one in templates:
            self._undelivered[one.user_id, one.template_id, one.model_version] = one

    def remove(self, user_id: str, template_ids: Sequence[str]) -> GalleryChange:
        """Remove all versions of templates, with their chips."""
        change = GalleryChange(chips=list(template_ids))
        for template_id in template_ids:
            for version in self.shard.versions_of(user_id, template_id):
                self.shard.discard(user_id, template_id, version)
                change.removed.append((user_id, template_id, version))
        self._undelivered.update(dict.fromkeys(change.removed))
        return change

    def erase(self, user_id: str, templates: Collection[tuple[str, str]]) -> None:
        """Drop templates, given by id and version, that have been erased from the table."""
        self.shard.erase(user_id, templates)
        for one in templates:
            self._undelivered.pop((user_id, *one), None)

    def undelivered(self) -> list[tuple[TemplateKey, Template | None]]:
        """Changes that the shard has and the table may not have; None: the template is removed."""
        return list(self._undelivered.items())

    def delivered(self) -> None:
        """Note that the table has every change of the shard."""
        self.shard.forget_expired()
        self._undelivered.clear()
