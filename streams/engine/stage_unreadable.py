"""What a Faust worker does about partitions that cannot be read: name them, look again, go on behind what is passed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection

import faust
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from streams.engine.faust_internals import held, hold, positions, release
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.messages import TopicPartition
from streams.kafka.unreadable import EVERY_S, PassedBatches, UnreadableBatch, look
from streams.observability.heartbeat import WorkerHeartbeat
from streams.settings import Settings

log = logging.getLogger(__name__)

_TICK_S = 1.0


class StageUnreadable:
    """Cares for what one application cannot read; tells the pulse of it."""

    def __init__(
        self,
        app: faust.App,
        settings: Settings,
        heartbeat: WorkerHeartbeat,
        pass_over: Callable[[TopicPartition, int, int], None],
    ) -> None:
        """``pass_over`` is told which offsets are not missing though they never come."""
        self._app = app
        self._settings = settings
        self._known = heartbeat.unreadable
        self._pass_over = pass_over
        self._passes = PassedBatches(settings)
        self._next_look = 0.0

    async def run(self, unfetched: Callable[[], Collection[TopicPartition]]) -> None:
        """Look again and again; ``unfetched`` are the partitions of which the broker has more than came."""
        while True:
            try:
                await self.look(unfetched())
            except Exception:
                log.exception("what cannot be read could not be looked at")
            await asyncio.sleep(_TICK_S)

    async def look(self, unfetched: Collection[TopicPartition]) -> None:
        """Look at what is held, and at what does not come though it is there; does nothing most of the time."""
        now = time.monotonic()
        if not self._app.rebalancing_count or now < self._next_look:
            return
        stopped = held(self._app)
        for gone in self._known.keys() - stopped.keys():
            del self._known[gone]
        at = positions(self._app)
        silent = {source: at[source] for source in unfetched if source in at and source not in stopped}
        if not stopped and not silent:
            return
        self._next_look = now + EVERY_S
        for source, offset in (stopped | silent).items():
            try:
                await self._look_at(source, offset, was_held=source in stopped)
            except (KafkaError, KafkaUnavailable, KafkaException, OSError) as error:
                log.warning("%s %d cannot be looked at: %r", source.topic, source.partition, error)

    async def _look_at(self, source: TopicPartition, offset: int, *, was_held: bool) -> None:
        found = await look(self._settings, source, offset)
        if found is None:
            if was_held:
                await self._release(source, None)
        elif await asyncio.to_thread(self._passes.has, found):
            log.warning("%s; it has been passed", found)
            self._pass_over(source, offset, found.end)
            await self._release(source, found.end)
        else:
            await self._name(found, was_held=was_held)

    async def _name(self, found: UnreadableBatch, *, was_held: bool) -> None:
        if not was_held:
            await hold(self._app, found.source)
        if found.source not in self._known:
            log.error("%s. To pass it: %s", found, found.remedy)
        self._known[found.source] = found

    async def _release(self, source: TopicPartition, offset: int | None) -> None:
        await release(self._app, source, offset)
        self._known.pop(source, None)
