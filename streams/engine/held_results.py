"""Results of a sink that wait until something of their user is erased."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Generic

from sinks.base import Delivery
from streams.kafka.messages import Message, TopicPartition
from streams.privacy.erasures import E, owner


class HeldResults(Generic[E]):
    """Results by user, in order; for one thread."""

    def __init__(self) -> None:
        self._of_user: dict[str, dict[tuple[TopicPartition, int], tuple[Delivery[E], Message]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._of_user.values()))

    def take_in(
        self,
        deliveries: Iterable[Delivery[E]],
        messages: Mapping[tuple[TopicPartition, int], Message],
        users: Collection[str],
    ) -> list[Delivery[E]]:
        """Keep the results of these users, and of users that have some here; return the others."""
        others = []
        for one in deliveries:
            user = owner(one.event)
            if user is not None and (user in users or user in self._of_user):
                key = one.partition, one.offset
                self._of_user.setdefault(user, {})[key] = one, messages[key]
            else:
                others.append(one)
        return others

    def released(self, users: Collection[str]) -> tuple[list[Delivery[E]], dict[tuple[TopicPartition, int], Message]]:
        """The results of all but these users, and their messages; they stay until :meth:`forget`."""
        free = [kept for user, kept in self._of_user.items() if user not in users]
        deliveries = [delivery for kept in free for delivery, _ in kept.values()]
        return deliveries, {key: message for kept in free for key, (_, message) in kept.items()}

    def forget(self, keys: Collection[tuple[TopicPartition, int]]) -> None:
        """Drop results that have been written."""
        for user, kept in list(self._of_user.items()):
            left = {key: one for key, one in kept.items() if key not in keys}
            if left:
                self._of_user[user] = left
            else:
                del self._of_user[user]

    def first(self, partition: TopicPartition) -> int | None:
        """The lowest offset of a partition that is held."""
        return min((n for kept in self._of_user.values() for at, n in kept if at == partition), default=None)

    def clear(self) -> None:
        """Drop all; they are read again."""
        self._of_user.clear()
