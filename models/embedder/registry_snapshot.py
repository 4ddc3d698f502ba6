"""The states of all model versions at one time, and which versions they select for a user."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from schemas.rollout import ModelRecord, ModelState

_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class ModelSelection:
    """The versions that embed a picture. One of them answers, and the others are compared with it.

    Attributes:
        answer: the version that answers, if the user has all templates of it.
        fallbacks: otherwise, the first of these of which the user has all templates answers.
        shadows: versions that never answer.
    """

    answer: str
    fallbacks: tuple[str, ...] = ()
    shadows: tuple[str, ...] = ()

    @property
    def versions(self) -> tuple[str, ...]:
        """All versions, the preferred one to answer first."""
        return tuple(dict.fromkeys((self.answer, *self.fallbacks, *self.shadows)))

    def among(self, loaded: Collection[str]) -> ModelSelection | None:
        """The selection restricted to loaded versions; None if no loaded version may answer."""
        answering = [version for version in (self.answer, *self.fallbacks) if version in loaded]
        shadows = tuple(version for version in self.shadows if version in loaded and version not in answering)
        return ModelSelection(answering[0], tuple(answering[1:]), shadows) if answering else None


@dataclass(frozen=True)
class RegistrySnapshot:
    """The last record of each version, in the order in which they were written.

    Of several versions in production the last one answers; those before it are kept for a rollback. ``base`` answers
    unless another version is in production; it needs no record.
    """

    base: str
    records: tuple[ModelRecord, ...] = ()

    @classmethod
    def of(cls, base: str, log: Iterable[ModelRecord]) -> RegistrySnapshot:
        """Make a snapshot from all records, oldest first."""
        last: dict[str, ModelRecord] = {}
        for record in log:
            last.pop(record.version, None)
            last[record.version] = record
        return cls(base, tuple(last.values()))

    def record(self, version: str) -> ModelRecord | None:
        """The last record of a version; None if there is none."""
        return self._by_version.get(version)

    def state(self, version: str) -> ModelState | None:
        """The state of a version; None if it is unknown."""
        found = self.record(version)
        if found is not None:
            return found.state
        return ModelState.PRODUCTION if version == self.base else None

    @cached_property
    def in_production(self) -> tuple[str, ...]:
        """The version that answers, then those to which a rollback is possible, latest first."""
        found = [version for version in reversed(self._by_version) if self.state(version) is ModelState.PRODUCTION]
        if self.base not in self._by_version or not found:
            found.append(self.base)
        return tuple(found)

    @property
    def production(self) -> str:
        """The version that answers users who are in no canary."""
        return self.in_production[0]

    @cached_property
    def shadows(self) -> tuple[str, ...]:
        """The shadow versions."""
        found = (record.version for record in self.records if record.state is ModelState.SHADOW)
        return tuple(version for version in found if version != self.production)

    @cached_property
    def canaries(self) -> tuple[str, ...]:
        """The canary versions, latest first."""
        found = (record.version for record in reversed(self.records) if record.state is ModelState.CANARY)
        return tuple(version for version in found if version != self.production)

    @cached_property
    def retired(self) -> frozenset[str]:
        """The versions whose templates are no longer needed."""
        gone = {record.version for record in self.records if record.state is ModelState.RETIRED}
        return frozenset(gone - {self.production})

    @cached_property
    def active(self) -> tuple[str, ...]:
        """The versions that embed pictures, the one in production first."""
        return tuple(dict.fromkeys((*self.in_production, *self.canaries, *self.shadows)))

    def of_upload(self, user_id: str) -> ModelSelection:
        """The versions that embed an upload: all that may answer its user, now or later, and the shadows."""
        answer = self._answering(user_id)[0]
        others = (version for version in (*self.canaries, *self.in_production) if version != answer)
        return ModelSelection(answer, tuple(others), self.shadows)

    def of_frame(self, user_id: str) -> ModelSelection:
        """The versions that embed a frame: those that may answer now, and those that are compared with them."""
        answering = self._answering(user_id)
        whole = (number for number, version in enumerate(answering) if self._is_whole(version, user_id))
        needed = next(whole, len(answering) - 1)
        if answering[0] in self.canaries:
            needed = max(needed, answering.index(self.production))
        return ModelSelection(answering[0], answering[1 : needed + 1], self.shadows)

    def _answering(self, user_id: str) -> tuple[str, ...]:
        """The versions that may answer for a user, in order of preference."""
        canaries = tuple(version for version in self.canaries if self.in_canary(version, user_id))
        return canaries + self.in_production

    def in_canary(self, version: str, user_id: str) -> bool:
        """Whether a canary answers for a user. As its share grows, users join it and none leaves."""
        record = self.record(version)
        if record is None or version not in self.canaries:
            return False
        digest = hashlib.sha256(f"{version}\0{user_id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % _BUCKETS < record.percent / 100 * _BUCKETS

    def _is_whole(self, version: str, user_id: str) -> bool:
        """Whether the record says that a user has all templates of a version."""
        record = self.record(version)
        if record is None:
            return version == self.base
        return record.filled and user_id not in record.stragglers

    @cached_property
    def _by_version(self) -> dict[str, ModelRecord]:
        return {record.version: record for record in self.records}
