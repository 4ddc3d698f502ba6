"""Which partition a key belongs to: murmur2, as Java's producer has it, and so every producer of facestream."""

from __future__ import annotations

import functools

from aiokafka.partitioner import murmur2


def partition_of(user_id: str, partitions: int) -> int:
    """The partition of a user, or of another key that is text."""
    return partition_of_bytes(user_id.encode(), partitions)


@functools.lru_cache(maxsize=100_000)
def partition_of_bytes(key: bytes, partitions: int) -> int:
    """The partition of a key."""
    number: int = murmur2(key)
    return (number & 0x7FFFFFFF) % partitions
