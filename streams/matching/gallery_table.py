"""The gallery of enrolled templates: a Faust table, and the same in memory for matching."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol, cast

import faust
import numpy as np
from faust.stores.rocksdb import Store
from faust.types import TP

from models.matching.gallery import Embedded, Gallery
from schemas import codec
from schemas.events import Template
from streams.engine.faust_producer import deliver
from streams.kafka.commit_metadata import ShardSize
from streams.matching.other_spellings import MisplacedTemplate
from streams.observability.faults import LocalTableFailed


class Templates(Protocol):
    """Where whole templates are read."""

    def template(self, partition: int, user_id: str, template_id: str, model_version: str) -> Template | None:
        """One template as it was last written; None if it is not there."""


class GalleryTable(faust.Table[bytes, bytes]):
    """A Faust table whose local copy never claims to hold changes that another worker made.

    Faust notes in RocksDB the changelog offset of the last write, and recovery starts there. A worker that was
    suspended, lost its partitions and then completes a late write would note an offset beyond changes it never read,
    and skip them for ever when the partition comes back. Here an offset is noted only if it directly follows the one
    before.
    """

    async def write(self, changes: Sequence[tuple[int, bytes, bytes | None]]) -> None:
        """Write (or with None delete) entries, given as partition, key and value; return when the changelog has them.

        Faust's own item assignment takes the partition from the last event that was read, which in a batch is another,
        and its sending to the changelog waits up to a tenth of a second.

        Raises:
            LocalTableFailed: nothing was sent.
            aiokafka.errors.KafkaError: not all was delivered.
        """
        for partition, key, value in changes:
            self._put(partition, key, value)
        topic = self.changelog_topic_name
        outgoing = [(key, value, partition) for partition, key, value in changes]
        for part in await deliver(cast(faust.App, self.app), topic, outgoing):
            source = TP(topic, part.partition)
            before = self.written_to(part.partition)
            if part.first_offset == (0 if before is None else before + 1):
                with _reaching(part.partition):
                    self.data.set_persisted_offset(source, part.first_offset + part.count - 1)

    def _put(self, partition: int, key: bytes, value: bytes | None) -> None:
        with _reaching(partition):
            store = self._store_of(partition)
            if value is None:
                store.delete(key)
            else:
                store.put(key, value)

    def entries(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """All entries of one partition from the local store."""
        with _reaching(partition):
            found = iter(cast(Store, self.data)._visible_items(self._store_of(partition)))
        while True:
            with _reaching(partition):
                entry = next(found, None)
            if entry is None:
                return
            yield entry

    def _store_of(self, partition: int) -> Any:
        """RocksDB of one partition; Faust opens it when it recovers the table."""
        return cast(Store, self.data)._db_for_partition(partition)

    def template(self, partition: int, user_id: str, template_id: str, model_version: str) -> Template | None:
        """One template as it was last written, from the local store."""
        with _reaching(partition):
            value = self._store_of(partition).get(key_of(user_id, template_id, model_version))
        return None if value is None else codec.decode(value, Template)

    def written_to(self, partition: int) -> int | None:
        """The changelog offset up to which the local copy of a partition is complete."""
        with _reaching(partition):
            offset: int | None = self.data.persisted_offset(TP(self.changelog_topic_name, partition))
        return offset


@contextmanager
def _reaching(partition: int) -> Iterator[None]:
    """Say of what fails in RocksDB that it does not concern the message in hand.

    Raises:
        LocalTableFailed: see there.
    """
    try:
        yield
    except Exception as error:  # rocksdict raises nothing more specific
        raise LocalTableFailed(f"the gallery's table of partition {partition}: {error}") from error


class GalleryShard:
    """The templates of one partition in memory, by model version."""

    def __init__(self) -> None:
        self._galleries: dict[str, Gallery] = {}
        self._expiries: list[tuple[datetime, int, Template]] = []
        self._ends: dict[bytes, datetime] = {}
        """Of each template whose consent ends: when. Others in the heap are out of date."""
        self._count_ends = itertools.count()
        self._expired: list[Template] = []
        self._templates: dict[str, int] = {}
        self._of_user: dict[str, Counter[str]] = {}

    @property
    def size(self) -> ShardSize:
        """Users and templates, without counting them anew: every commit tells them. Several versions count once."""
        version, templates = max(self._templates.copy().items(), key=lambda item: item[1], default=("", 0))
        return ShardSize(len(self._of_user.get(version, ())), templates)

    def __len__(self) -> int:
        return sum(len(gallery) for gallery in self._galleries.values())

    @property
    def versions(self) -> Collection[str]:
        """The model versions that there are templates of."""
        return [version for version, gallery in self._galleries.items() if len(gallery)]

    def gallery(self, model_version: str, dimensions: int) -> Gallery:
        """The gallery of one model version; vectors of two versions never meet in one."""
        return self._galleries.setdefault(model_version, Gallery(model_version, dimensions))

    def is_whole(self, user_id: str, model_version: str) -> bool:
        """Whether each template of a user is there of this version too."""
        own = self._galleries.get(model_version)
        names = own.names(user_id) if own else frozenset()
        return all(gallery is own or gallery.names(user_id) <= names for gallery in self._galleries.values())

    def templates(self, user_id: str, subject_id: str) -> int:
        """How many templates a subject has, in the version that has most."""
        return max((gallery.templates(user_id, subject_id) for gallery in self._galleries.values()), default=0)

    def version_of(self, user_id: str, template_id: str) -> str | None:
        """A model version that a template is there of; None if it is not there."""
        return next((v for v, gallery in self._galleries.items() if gallery.has(user_id, template_id)), None)

    def versions_of(self, user_id: str, template_id: str) -> list[str]:
        """The model versions that a template is there of."""
        return [v for v, gallery in self._galleries.items() if gallery.has(user_id, template_id)]

    def copies(self, user_id: str, subject_id: str) -> list[list[str]]:
        """The ids of a subject's templates of which one would do, in groups; by the version that has most of them."""
        most = max(self._galleries.values(), key=lambda one: one.templates(user_id, subject_id), default=None)
        return [] if most is None else most.copies(user_id, subject_id)

    def add(self, template: Template) -> None:
        """Add a template, or replace the one with its id and version."""
        vector = np.frombuffer(template.vector, "<f4")
        version, gallery = template.model_version, self.gallery(template.model_version, len(vector))
        self._count(version, template.user_id, 0 if gallery.has(template.user_id, template.template_id) else 1)
        gallery.put(template.user_id, template.subject_id, template.template_id, Embedded(version, vector))
        self._ends.pop(template_key(template), None)
        if template.consent.expires_at is not None:
            self._ends[template_key(template)] = template.consent.expires_at
            heapq.heappush(self._expiries, (template.consent.expires_at, next(self._count_ends), template))

    def discard(self, user_id: str, template_id: str, model_version: str) -> None:
        """Remove a template of one version, if it is there."""
        gallery = self._galleries.get(model_version)
        self._ends.pop(key_of(user_id, template_id, model_version), None)
        if gallery is not None and gallery.discard(user_id, template_id):
            self._count(model_version, user_id, -1)

    def of(self, user_id: str, subject_id: str | None) -> list[tuple[str, str]]:
        """Id and model version of each template of one of a user's subjects; None: of all."""
        return [(name, v) for v, gallery in self._galleries.items() for name in gallery.of(user_id, subject_id)]

    def forget(self, user_id: str, templates: Collection[tuple[str, str]]) -> None:
        """Remove templates, given by id and version, and all that is remembered of them."""
        for template_id, version in templates:
            self.discard(user_id, template_id, version)
        gone = {key_of(user_id, *one) for one in templates}
        self._expiries = [one for one in self._expiries if template_key(one[2]) not in gone]
        heapq.heapify(self._expiries)

    def some_of(self, model_version: str, limit: int) -> list[tuple[str, str]]:
        """User and id of at most so many templates of a version."""
        gallery = self._galleries.get(model_version)
        if gallery is None:
            return []
        every = ((user, template) for user in gallery.users() for template in gallery.names(user))
        return list(itertools.islice(every, limit))

    def expired(self, now: datetime) -> list[Template]:
        """Remove the templates whose consent has ended; return them, again and again until they are forgotten."""
        while self._expiries and self._expiries[0][0] <= now:
            ended, _, template = heapq.heappop(self._expiries)
            if self._ends.get(template_key(template)) == ended:
                self.discard(template.user_id, template.template_id, template.model_version)
                self._expired.append(template)
        return list(self._expired)

    def forget_expired(self) -> None:
        """Their removal has been delivered."""
        self._expired.clear()

    def _count(self, model_version: str, user_id: str, change: int) -> None:
        self._templates[model_version] = self._templates.get(model_version, 0) + change
        users = self._of_user.setdefault(model_version, Counter())
        users[user_id] += change
        if not users[user_id]:
            del users[user_id]


def template_key(template: Template) -> bytes:
    """The key of a template in the table: user, template and model version."""
    return key_of(template.user_id, template.template_id, template.model_version)


def key_of(user_id: str, template_id: str, model_version: str) -> bytes:
    """The key of a template in the table."""
    return "\x00".join((user_id, template_id, model_version)).encode()


def load(table: GalleryTable, partition: int) -> tuple[GalleryShard, list[MisplacedTemplate]]:
    """Read the shard of a partition from the local store, and what lies there under another spelling of its user."""
    shard, strays = GalleryShard(), []
    for key, value in table.entries(partition):
        template = codec.decode(value, Template)
        if key == template_key(template):
            shard.add(template)
        else:
            strays.append(MisplacedTemplate(key, template))
    return shard, strays
