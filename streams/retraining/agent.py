"""The role retrain: a Faust application that decides at every tick of its schedule whether to train.

Faust's crontab is used for its timer alone. Its way to run a job once, ``on_leader``, is not used: there may be two
leaders (faust-streaming #321), or none while the group rebalances, and a tick without a leader is lost. So every worker
ticks, and the topic ``runs`` decides which one gets the run: see :mod:`streams.retraining.run_log`. Three more traps of
the crontab: its time zone is the machine's unless one is named; a timer may wake just before its tick and then once
more; and an exception ends the application.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

import faust

from schemas import codec
from schemas.clock import utc_now
from schemas.errors import CodecError
from schemas.learning import RunState, TrainingRun
from streams.dead_letters.records import dead_letter
from streams.engine.content_reader import ContentReader
from streams.engine.fair_order import FairOrder
from streams.engine.faust_producer import rejecter, send_dead_letters
from streams.engine.read_ahead import ReadAhead
from streams.engine.stage import Stage
from streams.kafka.decoding import InvalidMessage
from streams.kafka.messages import Message
from streams.kafka.offsets import AsyncOffsets
from streams.kafka.topics import Topic
from streams.retraining import cron
from streams.retraining.scheduler import Retrainer
from streams.settings import Settings

log = logging.getLogger(__name__)

STAGE = "retrain"
_BATCH = 256


class Retrain:
    """Calls a retrainer at every tick, and regularly between ticks."""

    def __init__(self, app: faust.App, settings: Settings, retrainer: Retrainer) -> None:
        """Prepare it.

        Raises:
            UnusableSchedule: the schedule is not a cron expression.
        """
        self._app = app
        self._settings = settings
        self._retrainer = retrainer
        self._logged: dict[str, RunState] = {}
        # One thread, since a retrainer may be used by one only.
        self._thread = ThreadPoolExecutor(1, "retrain")
        self.stage = Stage(
            app,
            FairOrder([Topic.RUNS.named(settings)]),
            self.process,
            rejecter(app, settings, STAGE),
            AsyncOffsets(settings),
            ContentReader(settings),
            ReadAhead(app, settings),
            role=STAGE,
            batch_size=_BATCH,
            batch_wait_ms=0.0,
            commit_interval_s=settings.commit_interval_s,
        )
        app.task(self._beat)
        if settings.retrain_schedule:
            cron.check(settings.retrain_schedule)
            app.crontab(settings.retrain_schedule, timezone=UTC)(self._tick)

    async def process(self, batch: Sequence[Message]) -> None:
        """Log how the runs of all workers go; send what is no run to the dead letters."""
        dead_letters = []
        for message in batch:
            try:
                run = codec.decode(message.value, TrainingRun)
            except CodecError as error:
                bad = InvalidMessage(error.reason, type(error).__name__, str(error))
                dead_letters.append(dead_letter(message, STAGE, bad))
                continue
            if self._logged.get(run.run_id) is not run.state:
                log.info("run %s is %s on %s: %s", run.run_id, run.state, run.worker, run.reason)
            self._logged[run.run_id] = run.state
        await send_dead_letters(self._app, self._settings, dead_letters)

    async def close(self) -> None:
        """Release this worker's run."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._retrainer.close)
        self._thread.shutdown()

    async def _tick(self) -> None:
        await self._safely(lambda: self._retrainer.tick(utc_now()))

    async def _beat(self) -> None:
        while not self._app.should_stop:
            await self._safely(self._retrainer.beat)
            await self._app.sleep(self._retrainer.every_s)

    async def _safely(self, act: Callable[[], None]) -> None:
        """Report an error instead of raising it: the next beat or tick tries again, and a running training goes on."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, act)
        except Exception as error:
            log.warning("the runs could not be looked after: %s: %s", type(error).__name__, error)
            self.stage.heartbeat.failed("the runs", error)
        else:
            self.stage.heartbeat.succeeded()
