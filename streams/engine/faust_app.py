"""A Faust application as facestream runs it: settings that hold under faults, and a clean end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import faust

from streams.engine import faust_internals
from streams.engine.shutdown import FINISH_S, LEAVE_S, end_in_any_case
from streams.kafka.async_connection import faust_credentials
from streams.kafka.consumer_groups import group_id
from streams.roles import Role
from streams.settings import Settings

log = logging.getLogger(__name__)

_STREAM_BUFFER = 4096
"""Messages between Faust and a stage, which takes them at once and bounds what waits by itself."""
_BATCH_BYTES = 256 * 1024
"""Most that goes to the broker at once, for one partition."""
_ROCKSDB_OPTIONS: Mapping[str, Any] = {
    # Faust's defaults (2 GiB of cache and 192 MiB of write buffers, for each partition) are for one big database.
    "driver": "rocksdict",
    "block_cache_size": 8 * 1024**2,
    "write_buffer_size": 4 * 1024**2,
    "max_write_buffer_number": 2,
    "max_open_files": 64,
}


def make_app(
    role: Role,
    settings: Settings,
    *,
    partitions: int,
    folder: Path,
    client_id: str = "facestream",
    table_type: type[faust.Table[Any, Any]] = faust.Table,
) -> faust.App:
    """A Faust application for one role.

    Args:
        role: the role's name; with the topic prefix it is the consumer group and begins the changelogs' names.
        partitions: of the topics that the role reads.
        folder: for this worker's tables alone (faust-streaming #91, #92: a shared one is locked at a rebalance).
        client_id: by which the brokers and the consumer group know this worker.
        table_type: class that ``app.Table`` makes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Faust makes missing changelogs itself, on the cluster's default retention unless it is told to compact only.
    app = faust.App(
        id=group_id(role, settings),
        broker=";".join(f"kafka://{address.strip()}" for address in settings.kafka.split(",")),
        broker_credentials=faust_credentials(settings),
        broker_client_id=client_id,
        datadir=str(folder),
        store="rocksdb://",
        Table=table_type,
        TableManager=faust_internals.Tables,
        web_enabled=False,
        topic_partitions=partitions,
        topic_replication_factor=settings.replication_factor,
        topic_disable_leader=True,
        table_standby_replicas=settings.standby_replicas,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 15,
        broker_rebalance_timeout=settings.session_timeout_s * 2,
        broker_request_timeout=max(40.0, settings.session_timeout_s * 2),
        broker_commit_interval=3600.0,  # a Stage commits; Faust has nothing to
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=max(1024**2, settings.max_message_bytes // 8),
        producer_acks=-1,
        producer_linger=0.0,
        producer_max_request_size=settings.max_message_bytes + 1024**2,
        producer_max_batch_size=_BATCH_BYTES,
        producer_compression_type=None,
        stream_wait_empty=False,
        stream_buffer_maxsize=_STREAM_BUFFER,
        worker_redirect_stdouts=False,
    )
    faust_internals.install(app)
    return app


def table_options() -> dict[str, Any]:
    """RocksDB options for one table; a fresh dict, since Faust takes entries out of it."""
    return dict(_ROCKSDB_OPTIONS)


async def run_app(app: faust.App, drain: Callable[[], Awaitable[None]]) -> int:
    """Run the application until SIGTERM, SIGINT or its crash.

    On a signal the batch in hand is finished and committed and the group is left at once, so that the partitions have a
    new owner within a heartbeat and nothing is done twice. A batch that takes too long is left to that owner. A second
    signal ends the process.

    Returns:
        The exit code: 0 after a signal, 1 after a crash.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signals = 0

    def on_signal(*_: object) -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            os._exit(130)
        loop.call_soon_threadsafe(stop.set)
        end_in_any_case()

    # Not the loop's own handlers, which wait for whatever holds the loop up.
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    start = asyncio.create_task(app.start())
    stopping = asyncio.create_task(stop.wait())
    crashed = asyncio.create_task(app.wait_until_stopped())
    await asyncio.wait({start, stopping, crashed}, return_when=asyncio.FIRST_COMPLETED)
    error = start.exception() if start.done() and not start.cancelled() else None
    if error is not None:
        log.error("the worker cannot start: %r", error)
    elif start.done():
        await asyncio.wait({stopping, crashed}, return_when=asyncio.FIRST_COMPLETED)
    failed = crashed.done() or error is not None
    if not failed and start.done():
        try:
            await asyncio.wait_for(drain(), FINISH_S)
        except TimeoutError:
            log.warning("the batch in hand was not done in %g s: it is left to the next worker", FINISH_S)
    start.cancel()
    # A consumer that lost its broker may never finish closing (robinhood/faust #684): do not wait for ever.
    try:
        await asyncio.wait_for(app.stop(), LEAVE_S)
    except TimeoutError:
        log.warning("the consumer did not close within %g s; leaving", LEAVE_S)
    for number, handler in before.items():
        signal.signal(number, handler)
    if app.crashed:
        log.error("worker crashed: %r", app.crash_reason)
    return 1 if failed or app.crashed else 0
