"""Deduplicates events: leaves out those that are in the table already, or twice in a batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from sinks.base import Delivery, Result
from sinks.bigquery.columns import micros
from sinks.bigquery.tables import event_time
from sinks.bigquery.window import Item, Load, Window, key_of


class WrittenEvents(Protocol):
    """Tells which events are in the table."""

    @property
    def limit(self) -> int:
        """Most events of a partition that are read at once, and that are remembered."""

    def load(self, loads: Mapping[int, Load]) -> dict[int, list[Item]]:
        """Read the events of partitions, by partition number, in the order that each load asks for."""

    def written(self, events: Collection[Result]) -> set[bytes]:
        """The keys of those events that have a row."""


class Deduplicator:
    """Knows which events of its partitions are in one table. Nobody else may write these partitions meanwhile."""

    def __init__(self, known: WrittenEvents) -> None:
        """Nothing is known of any partition."""
        self._known = known
        self._windows: dict[int, Window] = {}

    def begin(self, number: int) -> None:
        """Start with nothing known about a partition, because someone else may have written to it."""
        self._windows[number] = Window(self._known.limit)

    def end(self, number: int) -> None:
        """Forget a partition."""
        self._windows.pop(number, None)

    def invalidate(self) -> None:
        """Discard what is known about all partitions."""
        for number in self._windows:
            self.begin(number)

    def fresh(self, deliveries: Sequence[Delivery[Result]], now: int) -> list[Delivery[Result]]:
        """The first delivery of each event that has no row yet; ``now`` is in microseconds since 1970.

        Raises:
            SinkUnavailable: the table does not answer.
        """
        self._widen(deliveries, now)
        unsure = [one.event for one in deliveries if not self._covers(one, now)]
        written = self._known.written(unsure) if unsure else set()
        chosen: dict[bytes, Delivery[Result]] = {}
        for delivery in deliveries:
            key = key_of(delivery.event)
            if self._covers(delivery, now):
                there = (_time(delivery), key) in self._windows[delivery.partition.partition]
            else:
                there = key in written
            if not there:
                chosen.setdefault(key, delivery)
        return list(chosen.values())

    def mark_written(self, deliveries: Iterable[Delivery[Result]]) -> None:
        """Remember that these events have a row now."""
        for delivery in deliveries:
            window = self._windows.get(delivery.partition.partition)
            time = event_time(delivery.event)
            if window is not None and time is not None:
                window.add(micros(time), key_of(delivery.event))

    def _widen(self, deliveries: Sequence[Delivery[Result]], now: int) -> None:
        """Read what the windows need for these events."""
        times: dict[int, list[int]] = {}
        for delivery in deliveries:
            if event_time(delivery.event) is not None:
                times.setdefault(delivery.partition.partition, []).append(_time(delivery))
        wanted = {number: self._windows[number].wanted(some, now) for number, some in times.items()}
        loads = {number: load for number, load in wanted.items() if load is not None}
        if loads:
            for number, items in self._known.load(loads).items():
                self._windows[number].loaded(loads[number], items, self._known.limit)

    def _covers(self, delivery: Delivery[Result], now: int) -> bool:
        return event_time(delivery.event) is not None and self._windows[delivery.partition.partition].covers(
            _time(delivery), now
        )


def _time(delivery: Delivery[Result]) -> int:
    time = event_time(delivery.event)
    return 0 if time is None else micros(time)
