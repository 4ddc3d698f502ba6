"""A worker of the role retrain whose trainings are cheap; its argument is its name."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from streams.engine.faust_app import make_app
from streams.engine.faust_runner import run_watched
from streams.observability.health_server import HealthServer
from streams.retraining.agent import Retrain
from streams.retraining.scheduler import Retrainer
from streams.roles import Role
from streams.settings import Settings

COMMAND = [sys.executable, str(Path(__file__).with_name("cheap_trainer.py"))]


async def run(settings: Settings, name: str, health: HealthServer) -> int:
    folder = settings.home / name
    app = make_app(Role.RETRAIN, settings, partitions=settings.partitions, folder=folder, client_id=health.client_id)
    retrain = Retrain(app, settings, Retrainer(settings, name, command=COMMAND))
    try:
        return await run_watched(app, retrain.stage, health)
    finally:
        await retrain.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("faust", "mode", "aiokafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    settings = Settings()
    with HealthServer(Role.RETRAIN, sys.argv[1], settings) as health:
        sys.exit(asyncio.run(run(settings, sys.argv[1], health)))
