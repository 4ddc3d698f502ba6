"""The templates of one partition in memory: by model version, with the ends of their consents."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from models.matching.gallery import Embedded, Gallery
from models.matching.searchable import SearchableTemplates
from schemas import codec, searched_template, searched_templates
from schemas.gallery import Template
from schemas.searched_template import SearchedTemplate
from streams.kafka.commit_metadata import ShardSize
from streams.matching.consent_ends import ConsentEnds, TemplateKey
from streams.matching.other_spellings import MisplacedTemplate

_READ_AT_ONCE = 2_000
"""Entries of the table that become templates at once."""


class TableEntries(Protocol):
    """A table whose entries can be read by partition."""

    def entries(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each entry of one partition."""


class GalleryShard:
    """The templates of one partition in memory, by model version."""

    def __init__(self, search_purposes: Collection[str] = (), vectors: Path | None = None) -> None:
        """An empty shard.

        Args:
            search_purposes: those of the consents whose templates searches over everybody may find.
            vectors: the folder of the files with vectors; None: they are all in memory.
        """
        self._vectors = vectors
        self.searchable = SearchableTemplates(vectors)
        """The templates that searches over everybody may find; kept a second time."""
        self._search_purposes = frozenset(search_purposes)
        self._galleries: dict[str, Gallery] = {}
        self._consent_ends = ConsentEnds()
        self._expired: list[TemplateKey] = []
        self._distinct: dict[str, int] = {}
        """The number of templates of each user of several versions; one that several versions have counts once."""

    @property
    def size(self) -> ShardSize:
        """Users and templates, of the version with the most templates; from any thread."""
        most = max(list(self._galleries.values()), key=len, default=None)
        return ShardSize(0, 0) if most is None else ShardSize(most.user_count, len(most))

    def __len__(self) -> int:
        return sum(len(gallery) for gallery in self._galleries.values())

    @property
    def versions(self) -> Collection[str]:
        """The model versions with at least one template."""
        return [version for version, gallery in self._galleries.items() if len(gallery)]

    def gallery(self, model_version: str, dimensions: int) -> Gallery:
        """The gallery of one model version; vectors of two versions never meet in one."""
        if model_version not in self._galleries:
            self._galleries[model_version] = Gallery(model_version, dimensions, self._vectors)
        return self._galleries[model_version]

    def is_complete(self, user_id: str, model_version: str) -> bool:
        """Whether this version has every template that a user has of any version."""
        own = self._galleries.get(model_version)
        return (own.count(user_id) if own else 0) == self._distinct_of(user_id)

    def templates(self, user_id: str, subject_id: str) -> int:
        """How many templates a subject has, in the version with the most."""
        return max((gallery.templates(user_id, subject_id) for gallery in self._galleries.values()), default=0)

    def version_of(self, user_id: str, template_id: str) -> str | None:
        """One model version that has a template; None if none has it."""
        return next((v for v, gallery in self._galleries.items() if gallery.has(user_id, template_id)), None)

    def versions_of(self, user_id: str, template_id: str) -> list[str]:
        """The model versions that have a template."""
        return [v for v, gallery in self._galleries.items() if gallery.has(user_id, template_id)]

    def copies(self, user_id: str, subject_id: str) -> list[list[str]]:
        """The ids of a subject's templates that are copies of each other, in groups; from the version with the most."""
        most = max(self._galleries.values(), key=lambda one: one.templates(user_id, subject_id), default=None)
        return [] if most is None else most.copies(user_id, subject_id)

    def add(self, template: Template) -> None:
        """Add a template, or replace the one with its id and version."""
        self.discard(template.user_id, template.template_id, template.model_version)
        self.fill([SearchedTemplate.of(template)])

    def fill(self, templates: Iterable[SearchedTemplate]) -> None:
        """Add templates that are not there yet: many at once are faster."""
        groups: dict[tuple[str, str, int], list[SearchedTemplate]] = {}
        for one in templates:
            groups.setdefault((one.user_id, one.model_version, len(one.vector)), []).append(one)
            if one.expires_at is not None:
                self._consent_ends.set((one.user_id, one.template_id, one.model_version), one.expires_at)
        for (user_id, version, size), group in groups.items():
            gallery = self.gallery(version, size // 4)
            vectors = np.frombuffer(b"".join([one.vector for one in group]), "<f4").reshape(len(group), size // 4)
            others = [one for v, one in self._galleries.items() if v != version and one.count(user_id)]
            known = sum(any(other.has(user_id, one.template_id) for other in others) for one in group) if others else 0
            distinct = self._distinct_of(user_id) + len(group) - known
            names = [(one.subject_id, one.template_id) for one in group]
            gallery.fill(user_id, names, Embedded(version, vectors))
            self._note_distinct(user_id, distinct)
            found = [number for number, one in enumerate(group) if one.purpose in self._search_purposes]
            if found:
                self.searchable.fill(user_id, [names[at] for at in found], Embedded(version, vectors[found]))

    def apply(self, entries: Iterable[tuple[bytes, bytes | None]]) -> bool:
        """Take in entries of the table in the order in which they were written; None removes.

        Returns:
            Whether all of them were of this shard; a template under another spelling of its user is not.
        """
        for key, value in entries:
            user_id, template_id, version = key.decode().split("\x00")
            self.discard(user_id, template_id, version)
            if value is not None:
                one = searched_template.read(value)
                if key != key_of(one.user_id, one.template_id, one.model_version):
                    return False
                self.fill([one])
        return True

    def discard(self, user_id: str, template_id: str, model_version: str) -> None:
        """Remove a template of one version, if it is there, and everything that is kept about it."""
        gallery = self._galleries.get(model_version)
        self._consent_ends.discard((user_id, template_id, model_version))
        before = self._distinct_of(user_id)
        if gallery is not None and gallery.discard(user_id, template_id):
            self.searchable.discard(user_id, template_id, model_version)
            self._note_distinct(user_id, before - (self.version_of(user_id, template_id) is None))

    def of(self, user_id: str, subject_id: str | None) -> list[tuple[str, str]]:
        """Id and model version of each template of one of a user's subjects; None: of all subjects."""
        return [(name, v) for v, gallery in self._galleries.items() for name in gallery.of(user_id, subject_id)]

    def erase(self, user_id: str, templates: Collection[tuple[str, str]]) -> None:
        """Remove templates, given by id and version."""
        for template_id, version in templates:
            self.discard(user_id, template_id, version)

    def some_of(self, model_version: str, limit: int) -> list[tuple[str, str]]:
        """User and id of some templates of a version, ``limit`` at most."""
        gallery = self._galleries.get(model_version)
        return list(itertools.islice(gallery.ids(), limit)) if gallery else []

    def expired(self, now: datetime) -> list[TemplateKey]:
        """Remove the templates whose consent has ended; return them on every call until :meth:`forget_expired`."""
        for key in self._consent_ends.take_due(now):
            self.discard(*key)
            self._expired.append(key)
        return list(self._expired)

    def forget_expired(self) -> None:
        """Note that the removal of the expired templates has been delivered."""
        self._expired.clear()

    def _distinct_of(self, user_id: str) -> int:
        """The number of a user's templates; one that several versions have counts once."""
        known = self._distinct.get(user_id)
        return max((one.count(user_id) for one in self._galleries.values()), default=0) if known is None else known

    def _note_distinct(self, user_id: str, count: int) -> None:
        """Keep the number of a user's templates, unless one version has them all: then it is that version's number."""
        if sum(one.count(user_id) > 0 for one in self._galleries.values()) > 1:
            self._distinct[user_id] = count
        else:
            self._distinct.pop(user_id, None)


def template_key(template: Template) -> bytes:
    """The key of a template in the table."""
    return key_of(template.user_id, template.template_id, template.model_version)


def key_of(user_id: str, template_id: str, model_version: str) -> bytes:
    """The key of a template in the table: user, template and model version."""
    return "\x00".join((user_id, template_id, model_version)).encode()


def load(
    table: TableEntries, partition: int, search_purposes: Collection[str] = (), vectors: Path | None = None
) -> tuple[GalleryShard, list[MisplacedTemplate]]:
    """Read the shard of a partition from the local store, and the templates stored under another spelling of a user."""
    shard, misplaced = GalleryShard(search_purposes, vectors), list[MisplacedTemplate]()
    entries = table.entries(partition)
    while some := list(itertools.islice(entries, _READ_AT_ONCE)):
        read = searched_templates.read_all([value for _, value in some])
        is_placed = [
            key == key_of(one.user_id, one.template_id, one.model_version)
            for (key, _), one in zip(some, read, strict=True)
        ]
        shard.fill(itertools.compress(read, is_placed))
        misplaced += [
            MisplacedTemplate(key, codec.decode(value, Template))
            for (key, value), placed in zip(some, is_placed, strict=True)
            if not placed
        ]
    return shard, misplaced
