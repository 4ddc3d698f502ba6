"""To which partitions a record belongs when its topic has another number of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from schemas import codec
from schemas.erasure import Erasure
from schemas.errors import CodecError
from schemas.hooks import HookDelivery
from schemas.learning import Chip
from streams.kafka.partitioner import partition_of, partition_of_bytes
from streams.kafka.topics import Topic
from streams.roles import Role

_KEPT = {Topic.PROBES, Topic.DEAD_LETTERS, Topic.RESOLUTIONS, Topic.MODELS, Topic.RUNS}
"""Topics whose records stay in the partition of their number: letters name it, and ``models`` has one order."""
_OF_OWNERS: dict[Topic, type[Chip | HookDelivery]] = {Topic.CHIPS: Chip, Topic.HOOK_DELIVERIES: HookDelivery}
"""Topics whose records lie in the partition of the user whom they name, and have other keys."""
_USER_IN_KEY = {Topic.OPEN_SIGHTINGS: 0, Topic.DRIFT_REFERENCES: 1}
"""Topics whose keys are JSON lists, and the place of the user in them."""


class Placement:
    """Places the records of one topic, given in the order in which they were written."""

    def __init__(self, topic: Topic | None, partitions: int) -> None:
        """``topic``: None is the changelog of the galleries."""
        self._topic = topic
        self._partitions = partitions
        self._of_key: dict[bytes, int] = {}
        """Where tombstones follow the records that they remove."""
        self._everywhere: set[tuple[str, str]] = set()
        """Answers that are in every partition already."""

    def of(self, key: bytes | None, value: bytes | None, number: int) -> Sequence[int]:
        """The partitions that get a record.

        Args:
            key: of the record.
            value: of the record; None removes what the topic has under the key.
            number: of the partition in which it was.
        """
        if self._topic in _KEPT and number < self._partitions:
            return [number]
        if self._topic is None:
            return [partition_of_bytes((key or b"").split(b"\x00", 1)[0], self._partitions)]
        if self._topic in _OF_OWNERS:
            return self._of_owner(_OF_OWNERS[self._topic], key or b"", value, number)
        if self._topic in _USER_IN_KEY:
            return [self._of_list(key or b"", _USER_IN_KEY[self._topic], number)]
        if self._topic is Topic.ERASURES and (copies := self._of_copy(value)) is not None:
            return copies
        return [number % self._partitions if key is None else partition_of_bytes(key, self._partitions)]

    def begin_waiting(self) -> None:
        """From here on the records have not been read by everybody: what is for every partition is put there again."""
        self._everywhere.clear()

    def _of_owner(self, kind: type[Chip | HookDelivery], key: bytes, value: bytes | None, number: int) -> Sequence[int]:
        if value is None:
            known = self._of_key.pop(key, None)
            return [] if known is None else [known]
        try:
            found = partition_of(codec.decode(value, kind).user_id, self._partitions)
        except CodecError:
            found = number % self._partitions
        self._of_key[key] = found
        return [found]

    def _of_list(self, key: bytes, at: int, number: int) -> int:
        try:
            return partition_of(str(json.loads(key)[at]), self._partitions)
        except (ValueError, LookupError, TypeError):
            return number % self._partitions

    def _of_copy(self, value: bytes | None) -> Sequence[int] | None:
        """Match tells of an erasure in every partition, whose searches may have found the erased."""
        try:
            erasure = None if value is None else codec.decode(value, Erasure)
        except CodecError:
            return None
        if erasure is None or not erasure.in_searches or erasure.stage != Role.MATCH:
            return None
        known = len(self._everywhere)
        self._everywhere.add((erasure.erasure_id, erasure.stage))
        return range(self._partitions) if len(self._everywhere) > known else []
