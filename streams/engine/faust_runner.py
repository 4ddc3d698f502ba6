"""How a Faust worker stands: its partitions, its tables, and whether its event loop turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager
from faust.types import TP

from streams.engine.faust_app import run_app
from streams.engine.stage import Stage
from streams.engine.stage_unreadable import StageUnreadable
from streams.kafka.commit_metadata import ShardSize
from streams.kafka.messages import TopicPartition
from streams.observability.health_server import HealthServer, MonitoredWorker
from streams.observability.heartbeat import ConsumerStatus, WorkerHeartbeat

_BEAT_S = 1.0


class StageMonitor:
    """What can be asked of an application with a stage over ``topics``; from any thread, but ``beat``."""

    def __init__(self, app: faust.App, topics: Sequence[str], heartbeat: WorkerHeartbeat) -> None:
        self._app = app
        self._topics = frozenset(topics)
        self._heartbeat = heartbeat

    def facts(self) -> ConsumerStatus:
        """How it stands in its group."""
        app = self._app
        if not app.rebalancing_count:  # Before the first one there may be no consumer to ask.
            return ConsumerStatus(False, frozenset(), 0)
        assigned = frozenset(TopicPartition(tp.topic, tp.partition) for tp in app.consumer.assignment())
        recovery = cast(TableManager, app.tables).recovery
        offsets = dict(recovery.standby_offsets)
        # The stage runs only when the tables of the first assignment are complete.
        return ConsumerStatus(
            ready=self._heartbeat.turned_at is not None and not app.rebalancing,
            assigned=frozenset(source for source in assigned if source.topic in self._topics),
            recovered=sum(offset or 0 for offset in list(recovery.active_offsets.values())),
            may_starve=True,
            standbys={
                TopicPartition(tp.topic, tp.partition): -1 if (offset := offsets.get(tp)) is None else offset
                for tp in set(recovery.standby_tps)
            },
        )

    async def beat(self, unfetched: Callable[[], Collection[TopicPartition]]) -> None:
        """Give a sign of life again and again.

        Args:
            unfetched: partitions with more in their logs than came; the rest may be transaction markers, which the
                consumer passes and never gives.
        """
        while True:
            self._heartbeat.loop_turned()
            for source in unfetched():
                try:
                    position = self._app.consumer.position(TP(source.topic, source.partition))
                    offset = await asyncio.wait_for(position, _BEAT_S)
                except (TimeoutError, KafkaError):
                    break
                finally:
                    self._heartbeat.loop_turned()
                if offset and offset > self._heartbeat.next_offset.get(source, 0):
                    self._heartbeat.arrived(source, offset - 1)
            await asyncio.sleep(_BEAT_S)


async def run_watched(
    app: faust.App,
    stage: Stage,
    health: HealthServer,
    *,
    sizes: Callable[[], Mapping[int, ShardSize]] = dict,
    models: Callable[[], Mapping[str, Any]] | None = None,
) -> int:
    """Run the application until SIGTERM, SIGINT, its crash or its hanging; return the exit code.

    Args:
        app: to run.
        stage: of this application.
        health: entered; tells of it and ends it when it hangs.
        sizes: of its gallery shards by partition number.
        models: how its model versions stand, for a role that has some.
    """
    unreadable = StageUnreadable(app, health.settings, stage.heartbeat, stage.pass_over)
    vitals = StageMonitor(app, stage.topics, stage.heartbeat)
    health.follow(MonitoredWorker(stage.heartbeat, vitals.facts, sizes, models))
    beat = asyncio.create_task(vitals.beat(health.unfetched))
    care = asyncio.create_task(unreadable.run(health.unfetched))
    try:
        return await run_app(app, stage.drain)
    finally:
        beat.cancel()
        care.cancel()
