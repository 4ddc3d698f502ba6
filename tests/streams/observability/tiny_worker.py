"""A worker of one stage over the topics of embed, which does with every batch what its argument says."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from streams.engine.content_reader import ContentReader
from streams.engine.fair_order import FairOrder
from streams.engine.faust_app import make_app
from streams.engine.faust_producer import rejecter
from streams.engine.faust_runner import run_watched
from streams.engine.read_ahead import ReadAhead
from streams.engine.stage import Stage
from streams.kafka.messages import Message
from streams.kafka.offsets import AsyncOffsets
from streams.kafka.topics import Topic
from streams.observability.health_server import HealthServer
from streams.roles import Role
from streams.settings import Settings


async def process(batch: Sequence[Message]) -> None:
    if sys.argv[1] == "block":
        time.sleep(3600)  # noqa: ASYNC251
    elif sys.argv[1] == "wait":
        await asyncio.Event().wait()


async def run(settings: Settings, health: HealthServer) -> int:
    app = make_app(
        Role.EMBED, settings, partitions=settings.partitions, folder=Path(settings.home), client_id=health.client_id
    )
    stage = Stage(
        app,
        FairOrder([Topic.UPLOADS.named(settings), Topic.FRAMES.named(settings)]),
        process,
        rejecter(app, settings, Role.EMBED),
        AsyncOffsets(settings),
        ContentReader(settings),
        ReadAhead(app, settings),
        role=Role.EMBED,
        batch_size=8,
        batch_wait_ms=1,
        commit_interval_s=0.2,
    )
    return await run_watched(app, stage, health)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    settings = Settings()
    with HealthServer(Role.EMBED, "tiny", settings) as health:
        sys.exit(asyncio.run(run(settings, health)))
