"""The templates of one partition in memory: by model version, with the ends of their consents."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Protocol

import numpy as np

from models.matching.gallery import Embedded, Gallery
from schemas import codec
from schemas.gallery import Template
from streams.kafka.commit_metadata import ShardSize
from streams.matching.other_spellings import MisplacedTemplate


class TableEntries(Protocol):
    """A table whose entries can be read by partition."""

    def entries(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each entry of one partition."""


class GalleryShard:
    """The templates of one partition in memory, by model version."""

    def __init__(self) -> None:
        self._galleries: dict[str, Gallery] = {}
        self._consent_ends = _ConsentEnds()
        self._expired: list[Template] = []
        self._template_counts: dict[str, int] = {}
        self._user_counts: dict[str, Counter[str]] = {}

    @property
    def size(self) -> ShardSize:
        """Users and templates; a template of several versions counts once. Kept up to date, since commits carry it."""
        version, templates = max(self._template_counts.copy().items(), key=lambda item: item[1], default=("", 0))
        return ShardSize(len(self._user_counts.get(version, ())), templates)

    def __len__(self) -> int:
        return sum(len(gallery) for gallery in self._galleries.values())

    @property
    def versions(self) -> Collection[str]:
        """The model versions with at least one template."""
        return [version for version, gallery in self._galleries.items() if len(gallery)]

    def gallery(self, model_version: str, dimensions: int) -> Gallery:
        """The gallery of one model version; vectors of two versions never meet in one."""
        return self._galleries.setdefault(model_version, Gallery(model_version, dimensions))

    def is_complete(self, user_id: str, model_version: str) -> bool:
        """Whether this version has every template that a user has of any version."""
        own = self._galleries.get(model_version)
        names = own.names(user_id) if own else frozenset()
        return all(gallery is own or gallery.names(user_id) <= names for gallery in self._galleries.values())

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
        vector = np.frombuffer(template.vector, "<f4")
        version, gallery = template.model_version, self.gallery(template.model_version, len(vector))
        self._count(version, template.user_id, 0 if gallery.has(template.user_id, template.template_id) else 1)
        gallery.put(template.user_id, template.subject_id, template.template_id, Embedded(version, vector))
        self._consent_ends.add(template)

    def discard(self, user_id: str, template_id: str, model_version: str) -> None:
        """Remove a template of one version, if it is there."""
        gallery = self._galleries.get(model_version)
        self._consent_ends.discard(key_of(user_id, template_id, model_version))
        if gallery is not None and gallery.discard(user_id, template_id):
            self._count(model_version, user_id, -1)

    def of(self, user_id: str, subject_id: str | None) -> list[tuple[str, str]]:
        """Id and model version of each template of one of a user's subjects; None: of all subjects."""
        return [(name, v) for v, gallery in self._galleries.items() for name in gallery.of(user_id, subject_id)]

    def erase(self, user_id: str, templates: Collection[tuple[str, str]]) -> None:
        """Remove templates, given by id and version, and everything that is kept about them."""
        for template_id, version in templates:
            self.discard(user_id, template_id, version)
        self._consent_ends.erase({key_of(user_id, *one) for one in templates})

    def some_of(self, model_version: str, limit: int) -> list[tuple[str, str]]:
        """User and id of some templates of a version, ``limit`` at most."""
        gallery = self._galleries.get(model_version)
        if gallery is None:
            return []
        every = ((user, template) for user in gallery.users() for template in gallery.names(user))
        return list(itertools.islice(every, limit))

    def expired(self, now: datetime) -> list[Template]:
        """Remove the templates whose consent has ended; return them on every call until :meth:`forget_expired`."""
        for template in self._consent_ends.due(now):
            self.discard(template.user_id, template.template_id, template.model_version)
            self._expired.append(template)
        return list(self._expired)

    def forget_expired(self) -> None:
        """Note that the removal of the expired templates has been delivered."""
        self._expired.clear()

    def _count(self, model_version: str, user_id: str, change: int) -> None:
        self._template_counts[model_version] = self._template_counts.get(model_version, 0) + change
        users = self._user_counts.setdefault(model_version, Counter())
        users[user_id] += change
        if not users[user_id]:
            del users[user_id]


class _ConsentEnds:
    """Templates ordered by the time at which their consent ends."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, Template]] = []
        self._ends: dict[bytes, datetime] = {}
        """The end that counts for each template; other entries in the heap are out of date."""
        self._number = itertools.count()

    def add(self, template: Template) -> None:
        key, ends = template_key(template), template.consent.expires_at
        self.discard(key)
        if ends is not None:
            self._ends[key] = ends
            heapq.heappush(self._heap, (ends, next(self._number), template))

    def discard(self, key: bytes) -> None:
        self._ends.pop(key, None)

    def erase(self, keys: Collection[bytes]) -> None:
        """Leave no copy of these templates in memory, not even one that is out of date."""
        self._heap = [one for one in self._heap if template_key(one[2]) not in keys]
        heapq.heapify(self._heap)

    def due(self, now: datetime) -> Iterator[Template]:
        """Take out the templates whose consent has ended."""
        while self._heap and self._heap[0][0] <= now:
            ends, _, template = heapq.heappop(self._heap)
            key = template_key(template)
            if self._ends.get(key) == ends:
                self.discard(key)
                yield template


def template_key(template: Template) -> bytes:
    """The key of a template in the table."""
    return key_of(template.user_id, template.template_id, template.model_version)


def key_of(user_id: str, template_id: str, model_version: str) -> bytes:
    """The key of a template in the table: user, template and model version."""
    return "\x00".join((user_id, template_id, model_version)).encode()


def load(table: TableEntries, partition: int) -> tuple[GalleryShard, list[MisplacedTemplate]]:
    """Read the shard of a partition from the local store, and the templates stored under another spelling of a user."""
    shard, misplaced = GalleryShard(), []
    for key, value in table.entries(partition):
        template = codec.decode(value, Template)
        if key == template_key(template):
            shard.add(template)
        else:
            misplaced.append(MisplacedTemplate(key, template))
    return shard, misplaced
