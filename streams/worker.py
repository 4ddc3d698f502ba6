"""The composition root of a worker: it assembles each role, and runs it in a process of its own.

TensorFlow, Faust and the clients of the sinks are imported only by the roles that need them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any, NoReturn

from streams.engine.shutdown import end, set_on_signal
from streams.engine.worker_folder import claim_folder
from streams.kafka.compression import check_codecs
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import group_id
from streams.kafka.partition_counts import check_copartitioned, partition_counts
from streams.kafka.topics import Topic
from streams.matching.changelog import discard_foreign_tables, ensure_changelog
from streams.observability.health_server import HealthServer, MonitoredWorker
from streams.roles import Embedder, Role
from streams.settings import Settings
from streams.topology import BIGQUERY_EVENTS, DRIFT_EVENTS, REDIS_EVENTS, SIGHTING_EVENTS

if TYPE_CHECKING:
    import faust
    from confluent_kafka.admin import AdminClient

    from models.analysis.face_analysis import FaceAnalyzer
    from models.embedder.card import Card
    from models.embedder.registry_snapshot import RegistrySnapshot
    from streams.engine.batch_worker import BatchWorker
    from streams.engine.sink_worker import SinkWorker

_BATCH_SIZE = 500
"""Most events that a role that takes batches takes at once."""
_SIGHTINGS_LINGER_S = 0.2


def run_worker(role: Role, settings: Settings, *, embedder: Embedder = Embedder.MODEL) -> NoReturn:
    """Run one worker until SIGTERM or SIGINT.

    Args:
        role: what the worker does.
        settings: of the deployment.
        embedder: of the deployment; ``digest`` makes a vector from the picture's SHA-256 instead of its faces, for load
            and fault tests of everything else. No other worker knows what such a vector means.

    Once it has worked it does not return: it ends the process with code 0 after a signal, with 1 after a crash. An
    earlier signal ends the process on the spot.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicsError: topics are missing or partitioned differently.
        TopicsLost: the galleries were there once and are gone.
        CodecMissing: it could not read what some producers send.
    """
    check_codecs()
    admin = admin_client(settings)
    partitions = check_copartitioned(partition_counts(admin, settings), settings)
    _RUN[role](_Start(settings, embedder, admin, partitions))
    raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class _Start:
    """What every role is started with; ``partitions`` is their number in each topic."""

    settings: Settings
    embedder: Embedder
    admin: AdminClient
    partitions: int

    def base(self) -> Card:
        """The card of the version that needs no record on the topic ``models``."""
        if self.embedder is Embedder.DIGEST:
            from models.testing.digest import CARD

            return CARD
        from streams.model_registry.records import base_card

        return base_card(self.settings)

    def analyzer(self, registry: RegistrySnapshot) -> FaceAnalyzer:
        """What makes vectors from pictures, loaded and warm, with a version that may answer.

        Raises:
            UnusableModel: none of these can be loaded.
            MissingWeights: the weights of a reference model are not installed.
        """
        if self.embedder is Embedder.DIGEST:
            from models.testing.digest import DigestAnalyzer

            return DigestAnalyzer()
        from models.analysis.analyzer import Analyzer
        from streams.model_registry.model_pool import first_loaded

        analyzer = Analyzer(
            first_loaded(registry, self.settings),
            threads=self.settings.cpu_threads,
            max_picture_bytes=self.settings.max_picture_bytes,
            max_picture_pixels=self.settings.max_picture_pixels,
        )
        analyzer.warm_up()
        return analyzer

    def app(self, role: Role, folder: Path, client_id: str, **options: Any) -> faust.App:
        """The Faust application of a role, with its tables in the folder."""
        from streams.engine.faust_app import make_app

        return make_app(role, self.settings, partitions=self.partitions, folder=folder, client_id=client_id, **options)


def _embed(start: _Start) -> None:
    if start.embedder is Embedder.MODEL:
        from streams.model_registry.first_version import choose_first_version

        choose_first_version(start.admin, start.settings)
    with claim_folder(Role.EMBED, start.settings) as folder:
        _run_app(Role.EMBED, start, folder, _run_embed)


async def _run_embed(start: _Start, folder: Path, health: HealthServer) -> NoReturn:
    from streams.embedding.agent import Embed
    from streams.engine.faust_runner import run_watched
    from streams.model_registry.model_pool import ModelPool
    from streams.model_registry.watcher import RegistryWatcher

    with RegistryWatcher(start.settings, start.base()) as watcher:
        app = start.app(Role.EMBED, folder, health.client_id)
        analyzer = await asyncio.to_thread(start.analyzer, watcher.registry)
        model_pool = await asyncio.to_thread(ModelPool, start.settings, watcher, analyzer)
        with model_pool:
            stage = Embed(app, start.settings, analyzer, model_pool).stage
            end(await run_watched(app, stage, health, models=model_pool.report))


def _match(start: _Start) -> None:
    with claim_folder(Role.MATCH, start.settings) as folder:
        changelog_id = ensure_changelog(start.admin, start.settings, start.partitions)
        discard_foreign_tables(folder, changelog_id)
        _run_app(Role.MATCH, start, folder, _run_match)


async def _run_match(start: _Start, folder: Path, health: HealthServer) -> NoReturn:
    from streams.engine.faust_runner import run_watched
    from streams.matching.agent import Matcher
    from streams.matching.gallery_table import GalleryTable
    from streams.model_registry.watcher import RegistryWatcher

    base = start.base()
    with RegistryWatcher(start.settings, base) as watcher:
        app = start.app(Role.MATCH, folder, health.client_id, table_type=GalleryTable)
        matcher = Matcher(app, start.settings, [base], watcher)
        end(await run_watched(app, matcher.stage, health, sizes=matcher.sizes))


def _retrain(start: _Start) -> None:
    with claim_folder(Role.RETRAIN, start.settings) as folder:
        _run_app(Role.RETRAIN, start, folder, _run_retrain)


async def _run_retrain(start: _Start, folder: Path, health: HealthServer) -> NoReturn:
    """The training itself is done by a process of its own."""
    from streams.drift.alarms import CameraAlarms
    from streams.engine.faust_runner import run_watched
    from streams.retraining.agent import Retrain
    from streams.retraining.scheduler import Retrainer

    app = start.app(Role.RETRAIN, folder, health.client_id)
    cameras = CameraAlarms(start.settings)
    retrain = Retrain(app, start.settings, Retrainer(start.settings, health.name, alarms=[cameras]))
    try:
        code = await run_watched(app, retrain.stage, health)
    finally:
        await retrain.close()
        cameras.close()
    end(code)


def _run_app(
    role: Role,
    start: _Start,
    folder: Path,
    run: Callable[[_Start, Path, HealthServer], Coroutine[Any, Any, NoReturn]],
) -> None:
    """Run the Faust application of a role in an event loop, with its health served."""
    name = f"{role}{folder.name.removeprefix(group_id(role, start.settings))}"
    with HealthServer(role, name, start.settings) as health:
        asyncio.run(run(start, folder, health))


def _sink_redis(start: _Start) -> None:
    def worker(client_id: str) -> SinkWorker[Any]:
        from sinks.redis import RedisAddress, RedisSink
        from streams.engine.sink_worker import SinkWorker

        settings = start.settings
        sink = RedisSink(
            RedisAddress.of(settings),
            settings.redis_prefix,
            settings.result_ttl_s,
            settings.live_stream_length,
            lasting=[Topic.ENROLMENTS.named(settings)],
        )
        return SinkWorker(
            Role.SINK_REDIS, settings, sink, REDIS_EVENTS, batch_size=_BATCH_SIZE, linger_s=0.0, client_id=client_id
        )

    _run_batches(Role.SINK_REDIS, start, worker)


def _sink_bigquery(start: _Start) -> None:
    def worker(client_id: str) -> SinkWorker[Any]:
        from sinks.bigquery import Address, BigQuerySink
        from streams.engine.sink_worker import SinkWorker

        settings = start.settings
        address = Address(
            settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc
        )
        sink = BigQuerySink(address, {topic.named(settings): kind for topic, kind in BIGQUERY_EVENTS.items()})
        return SinkWorker(
            Role.SINK_BIGQUERY,
            settings,
            sink,
            BIGQUERY_EVENTS,
            batch_size=_BATCH_SIZE,
            linger_s=0.2,
            client_id=client_id,
        )

    _run_batches(Role.SINK_BIGQUERY, start, worker)


def _drift(start: _Start) -> None:
    def worker(client_id: str) -> BatchWorker[Any]:
        from streams.drift.processor import DriftProcessor
        from streams.engine.batch_worker import BatchWorker

        # What it cannot read the other roles report as dead letters.
        return BatchWorker(
            Role.DRIFT,
            start.settings,
            DriftProcessor(start.settings, [start.base()]),
            DRIFT_EVENTS,
            batch_size=_BATCH_SIZE,
            linger_s=1.0,
            client_id=client_id,
            makes_dead_letters=False,
        )

    _run_batches(Role.DRIFT, start, worker)


def _search(start: _Start) -> None:
    def worker(client_id: str) -> BatchWorker[Any]:
        from streams.searching.worker import SearchWorker

        return SearchWorker(start.settings, batch_size=_BATCH_SIZE, client_id=client_id)

    _run_batches(Role.SEARCH, start, worker)


def _sightings(start: _Start) -> None:
    def worker(client_id: str) -> BatchWorker[Any]:
        from streams.engine.batch_worker import BatchWorker
        from streams.sightings.processor import SightingProcessor

        # What it cannot read the other roles report as dead letters.
        return BatchWorker(
            Role.SIGHTINGS,
            start.settings,
            SightingProcessor(start.settings, [start.base()]),
            SIGHTING_EVENTS,
            batch_size=_BATCH_SIZE,
            linger_s=_SIGHTINGS_LINGER_S,
            client_id=client_id,
            makes_dead_letters=False,
        )

    _run_batches(Role.SIGHTINGS, start, worker)


def _hooks(start: _Start) -> None:
    def worker(client_id: str) -> BatchWorker[Any]:
        from streams.hooks.worker import HookWorker

        return HookWorker(start.settings, batch_size=_BATCH_SIZE, client_id=client_id)

    _run_batches(Role.HOOKS, start, worker)


def _run_batches(role: Role, start: _Start, make_worker: Callable[[str], BatchWorker[Any]]) -> NoReturn:
    """Run a worker that takes batches, made under this name, with its health served."""
    with HealthServer(role, f"{role}-{os.getpid()}", start.settings) as health:
        worker = make_worker(health.client_id)
        health.follow(MonitoredWorker(worker.heartbeat, worker.facts))
        stop = Flag()
        set_on_signal(stop)
        worker.run(stop)
        end(0)


_RUN: Mapping[Role, Callable[[_Start], None]] = {
    Role.EMBED: _embed,
    Role.MATCH: _match,
    Role.SINK_REDIS: _sink_redis,
    Role.SINK_BIGQUERY: _sink_bigquery,
    Role.DRIFT: _drift,
    Role.RETRAIN: _retrain,
    Role.SEARCH: _search,
    Role.SIGHTINGS: _sightings,
    Role.HOOKS: _hooks,
}
"""What runs each role; none of them returns."""
