"""The roles, and how each is put together and run in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, NoReturn

import filelock

from streams.engine.shutdown import end, end_in_any_case
from streams.kafka.compression import check_codecs
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import group_id
from streams.kafka.topic_admin import check_copartitioned, partition_counts
from streams.kafka.topics import Topic
from streams.matching.changelog import discard_foreign_tables, ensure_changelog
from streams.observability.health_server import HealthServer, MonitoredWorker
from streams.roles import Embedder, Role
from streams.settings import Settings
from streams.topology import READS

if TYPE_CHECKING:
    from models.analysis.face_analysis import FaceAnalyzer
    from models.embedder.card import Card
    from sinks.base import Sink

log = logging.getLogger(__name__)


def run_worker(role: Role, settings: Settings, *, embedder: Embedder = Embedder.MODEL) -> NoReturn:
    """Run one worker until SIGTERM or SIGINT.

    Args:
        role: what it does.
        embedder: of the deployment; ``digest`` makes a vector from the picture's SHA-256 instead of its faces, for load
            and fault tests of everything else. No other worker knows what such a vector means.

    Does not return once it has worked: it ends the process with code 0 after a signal, with 1 after a crash. A signal
    before that ends it on the spot.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicsError: topics are missing or partitioned differently.
        TopicsLost: the galleries were there once and are gone.
        CodecMissing: it could not read what some producers send.
    """
    check_codecs()
    admin = admin_client(settings)
    partitions = check_copartitioned(partition_counts(admin, settings), settings)
    if role in (Role.SINK_REDIS, Role.SINK_BIGQUERY, Role.DRIFT):
        with HealthServer(role, f"{role}-{os.getpid()}", settings) as health:
            end(_run_sink(role, settings, embedder, health))
    with _own_folder(role, settings) as folder:
        if role is Role.MATCH:
            discard_foreign_tables(folder, ensure_changelog(admin, settings, partitions))
        name = f"{role}{folder.name.removeprefix(group_id(role, settings))}"
        with HealthServer(role, name, settings) as health:
            asyncio.run(_run_stage(role, settings, partitions, folder, embedder, health))
    raise AssertionError("unreachable")


async def _run_stage(
    role: Role, settings: Settings, partitions: int, folder: Path, embedder: Embedder, health: HealthServer
) -> NoReturn:
    """Run embed, match or retrain to the end of the process.

    TensorFlow and Faust are imported only by the roles that need them.
    """
    if role is Role.RETRAIN:
        end(await _run_retrain(settings, partitions, folder, health))
    from streams.engine.faust_app import make_app
    from streams.engine.faust_runner import run_watched
    from streams.model_registry.model_pool import ModelPool
    from streams.model_registry.watcher import RegistryWatcher

    base = _base(settings, embedder)
    with RegistryWatcher(settings, base) as watcher:
        if role is Role.EMBED:
            from streams.embedding.agent import Embed

            app = make_app(role, settings, partitions=partitions, folder=folder, client_id=health.client_id)
            analyzer = await asyncio.to_thread(_analyzer, settings, embedder)
            model_pool = await asyncio.to_thread(ModelPool, settings, watcher, analyzer)
            with model_pool:
                stage = Embed(app, settings, analyzer, model_pool).stage
                end(await run_watched(app, stage, health, models=model_pool.report))
        from streams.matching.agent import Matcher
        from streams.matching.gallery_table import GalleryTable

        app = make_app(
            role, settings, partitions=partitions, folder=folder, client_id=health.client_id, table_type=GalleryTable
        )
        matcher = Matcher(app, settings, [base], watcher)
        end(await run_watched(app, matcher.stage, health, sizes=matcher.sizes))


async def _run_retrain(settings: Settings, partitions: int, folder: Path, health: HealthServer) -> int:
    """Run retrain, which trains in a process of its own."""
    from streams.drift.alarms import CameraAlarms
    from streams.engine.faust_app import make_app
    from streams.engine.faust_runner import run_watched
    from streams.retraining.agent import Retrain
    from streams.retraining.scheduler import Retrainer

    app = make_app(Role.RETRAIN, settings, partitions=partitions, folder=folder, client_id=health.client_id)
    cameras = CameraAlarms(settings)
    retrain = Retrain(app, settings, Retrainer(settings, health.name, alarms=[cameras]))
    try:
        return await run_watched(app, retrain.stage, health)
    finally:
        await retrain.close()
        cameras.close()


def _base(settings: Settings, embedder: Embedder) -> Card:
    """The card of the version that needs no record on the topic ``models``."""
    if embedder is Embedder.DIGEST:
        from models.testing.digest import CARD

        return CARD
    from streams.model_registry.records import base_card

    return base_card(settings)


def _analyzer(settings: Settings, embedder: Embedder) -> FaceAnalyzer:
    if embedder is Embedder.DIGEST:
        from models.testing.digest import DigestAnalyzer

        return DigestAnalyzer()
    from models.analysis.analyzer import Analyzer
    from models.embedder.model import Model

    analyzer = Analyzer(
        Model.load(settings.model_dir),
        threads=settings.cpu_threads,
        max_picture_bytes=settings.max_picture_bytes,
        max_picture_pixels=settings.max_picture_pixels,
    )
    analyzer.warm_up()
    return analyzer


def _run_sink(role: Role, settings: Settings, embedder: Embedder, health: HealthServer) -> int:
    from streams.engine.sink_worker import SinkWorker
    from streams.topology import EVENT_TYPES

    sink: Sink
    topics = [topic for topic in READS[role] if topic is not Topic.ERASURES]
    if role is Role.SINK_REDIS:
        from sinks.redis import RedisSink

        sink = RedisSink(
            settings.redis_url,
            settings.redis_prefix,
            settings.result_ttl_s,
            settings.live_stream_length,
            lasting=[Topic.ENROLMENTS.named(settings)],
        )
        linger_s = 0.0
    elif role is Role.DRIFT:
        from streams.drift.processor import DriftProcessor

        sink = DriftProcessor(settings, [_base(settings, embedder)])
        linger_s = 1.0
    else:
        from sinks.bigquery import Address, BigQuerySink

        dataset = Address(
            settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc
        )
        sink = BigQuerySink(dataset, {topic.named(settings): EVENT_TYPES[topic] for topic in topics})
        linger_s = 0.2
    worker = SinkWorker(
        role,
        settings,
        sink,
        topics,
        batch_size=500,
        linger_s=linger_s,
        client_id=health.client_id,
        letters=role is not Role.DRIFT,
    )
    health.follow(MonitoredWorker(worker.heartbeat, worker.facts))
    stop = Flag()

    def on_signal(*_: object) -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()
        end_in_any_case()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    worker.run(stop)
    return 0


@contextmanager
def _own_folder(role: Role, settings: Settings) -> Iterator[Path]:
    """A folder that no other living worker uses; the first free one, so that a restarted worker finds its tables."""
    for number in range(1024):
        folder = settings.worker_dir(f"{group_id(role, settings)}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / "lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            continue
        with lock:
            yield folder
            return
    raise RuntimeError(f"no free folder for the tables of {role} in {settings.worker_dir('')}")
