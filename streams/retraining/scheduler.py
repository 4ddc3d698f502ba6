"""What a worker of the role retrain does: at a tick decide and claim, between ticks look after the runs.

Nothing here waits for a training: every call returns within seconds, and all come from one thread.
"""

from __future__ import annotations

import logging
import platform
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Self

from schemas.events import RunState, Source, TrainingRun, utc_now
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.topics import Topic
from streams.retraining import cron
from streams.retraining.job_files import JobResult, JobSpec
from streams.retraining.job_process import COMMAND, JobProcess
from streams.retraining.mode import Mode
from streams.retraining.new_data import LearnableFaces, NewTrainingData
from streams.retraining.policy import TrainableFaces, TrainingDecision, TrainingMinimum, decide
from streams.retraining.run_directories import RunDirectories
from streams.retraining.run_log import ENDED, RunLog, RunStatus
from streams.settings import Settings
from streams.training_data.training_set import Until

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""So many workers may die of a run before it counts as failed."""
_BEATS = 6
"""In the time after which a silent run is taken over."""

Alarm = Callable[[], str | None]
"""Gives a reason to train though little is new, as a sentence; None: there is none."""


@dataclass(slots=True)
class _Held:
    """The run that this worker has, and the process that trains."""

    run: TrainingRun
    token: int
    trainer: JobProcess
    since: float


class Retrainer:
    """One worker's part in all scheduled trainings; a context manager, for one thread."""

    def __init__(
        self,
        settings: Settings,
        worker: str,
        *,
        alarms: Sequence[Alarm] = (),
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Connects when it is first called.

        Args:
            settings: schedule and conditions.
            worker: this worker's name, for people.
            alarms: asked at every tick.
            command: what trains; see :mod:`streams.retraining.job_main`.
        """
        self._settings = settings
        self._worker = worker
        self._alarms = alarms
        self._command = command
        self._ledger = RunLog(settings)
        self._faces = LearnableFaces(settings)
        self._directories = RunDirectories(settings)
        self._held: _Held | None = None
        self._published: set[str] = set()

    @property
    def every_s(self) -> float:
        """How often :meth:`beat` is to be called, in seconds."""
        return self._settings.retrain_lease_s / _BEATS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def tick(self, now: datetime) -> None:
        """Decide about the run of the last tick until now, if nobody has, and begin it.

        Raises:
            KafkaUnavailable: no broker answers; at the next tick it is decided anew.
            TopicMissing: a topic has not been created.
        """
        due_at = cron.tick(self._settings.retrain_schedule, now)
        run_id = cron.run_id(due_at)
        self._ledger.refresh()
        if self._ledger.of(run_id) is not None:
            return
        before = [one.run for one in self._ledger if one.run.state is not RunState.SKIPPED]
        if under_way := [one for one in before if one.state not in ENDED]:
            decision, new_data = (
                TrainingDecision(False, f"run {under_way[0].run_id} is under way", []),
                NewTrainingData(TrainableFaces(), {}),
            )
        else:
            learned = [one for one in before if one.version is not None]
            new_data = self._faces.new_data(_ends(learned[-1].until) if learned else {})
            hours = (now - before[-1].claimed_at).total_seconds() / 3600 if before else None
            decision = decide(
                replace(new_data.counted, hours=hours, alarms=self._ring()), TrainingMinimum.of(self._settings)
            )
        claim = TrainingRun(
            run_id=run_id,
            state=RunState.WAITING if decision.train else RunState.SKIPPED,
            reason=decision.reason,
            due_at=due_at,
            conditions=decision.conditions,
            until=_sources(new_data.until),
            people=new_data.counted.people,
            faces=new_data.counted.faces,
            claim_id=str(uuid.uuid4()),
            attempt=1,
            worker=self._worker,
            host=platform.node(),
            heartbeat_at=now,
            claimed_at=now,
            ended_at=None if decision.train else now,
        )
        if (standing := self._ledger.append(claim)) is None:
            log.info("run %s is another worker's", run_id)
        elif decision.train:
            self._begin(standing)

    def beat(self) -> None:
        """Renew the run in hand, end it when its training has; take over one that is silent; tidy up.

        Raises:
            KafkaUnavailable: no broker answers; what trains goes on.
            TopicMissing: the topic has not been created.
        """
        if self._held is not None:
            self._held.trainer.send_keepalive()
        self._ledger.refresh()
        if self._held is not None:
            self._look_after(self._held)
        for standing in list(self._ledger):
            if standing.ended:
                self._tidy(standing)
            elif self._held is None and self._is_free(standing):
                self._take_over(standing)

    def close(self) -> None:
        """Give the run in hand back, so that another worker need not wait until it is silent."""
        held, self._held = self._held, None
        if held is not None:
            held.trainer.stop()
            try:
                back = replace(held.run, state=RunState.WAITING, attempt=max(0, held.run.attempt - 1))
                self._ledger.append(back)
            except KafkaUnavailable as error:
                log.warning("run %s could not be given back: %s", held.run.run_id, error)
        self._ledger.close()
        self._faces.close()

    def _look_after(self, held: _Held) -> None:
        standing = self._ledger.of(held.run.run_id)
        if standing is None or standing.token != held.token:
            self._lose(held)
            return
        result = held.trainer.result()
        if result is None and time.monotonic() - held.since > 3600 * self._settings.retrain_timeout_h:
            held.trainer.stop()
            result = JobResult(error=f"it took longer than {self._settings.retrain_timeout_h:g} h")
        status = held.trainer.status()
        now = replace(
            held.run,
            step=status.step,
            steps=status.steps,
            faces=status.faces or held.run.faces,
            people=status.people or held.run.people,
        )
        held.run = now if result is None else _ended(now, result)
        if (standing := self._ledger.append(held.run)) is None:
            self._lose(held)
        elif result is not None:
            held.trainer.stop()
            self._held = None
            log.info("run %s %s: %s", held.run.run_id, held.run.state, held.run.reason)
            self._tidy(standing)

    def _lose(self, held: _Held) -> None:
        """Nothing of what this worker has made of the run may be used any more."""
        log.warning("run %s went to another worker, since this one was silent", held.run.run_id)
        held.trainer.stop()
        self._held = None

    def _is_free(self, standing: RunStatus) -> bool:
        """Whether nobody has a run: it was given back, or its worker is silent."""
        silent_s = time.monotonic() - standing.changed_at
        return standing.released or silent_s > self._settings.retrain_lease_s

    def _take_over(self, standing: RunStatus) -> None:
        before = standing.run
        claim = replace(
            before,
            state=RunState.WAITING,
            claim_id=str(uuid.uuid4()),
            token=None,
            takes_over=standing.token,
            attempt=before.attempt + 1,
            worker=self._worker,
            host=platform.node(),
        )
        if before.attempt >= ATTEMPTS:
            reason = f"{before.attempt} workers have died of it, the last one was {before.worker} on {before.host}"
            claim = replace(claim, state=RunState.FAILED, reason=reason, ended_at=utc_now())
        if (taken := self._ledger.append(claim)) is None:
            return
        log.warning("run %s is taken over from %s on %s", before.run_id, before.worker, before.host)
        if not taken.ended:
            self._directories.inherit(before.run_id, standing.token, taken.token)
            self._begin(taken)

    def _begin(self, standing: RunStatus) -> None:
        run, token = standing.run, standing.token
        order = JobSpec(
            run_id=run.run_id,
            until=_ends(run.until),
            mode=Mode(self._settings.retrain_mode),
            workers=self._settings.retrain_workers,
            steps=self._settings.retrain_steps,
            patience_s=2 * self._settings.retrain_lease_s,
        )
        trainer = JobProcess.start(self._directories.of(run.run_id, token), order, self._command)
        running = replace(run, state=RunState.RUNNING)
        self._held = _Held(running, token, trainer, time.monotonic())
        log.info("run %s begins: %s", run.run_id, run.reason)
        if self._ledger.append(running) is None:
            self._lose(self._held)

    def _tidy(self, standing: RunStatus) -> None:
        """Put a version where the log says that it is, should its worker have died just before that."""
        run = standing.run
        if standing.superseded:
            self._ledger.append(run)
        if run.version is None or run.run_id in self._published:
            return
        self._directories.publish(run.run_id, standing.token, run.version)
        self._directories.forget(run.run_id)
        self._published.add(run.run_id)

    def _ring(self) -> list[str]:
        return [reason for alarm in self._alarms if (reason := alarm()) is not None]


def _sources(until: Until) -> list[Source]:
    return [Source(topic.value, number, end) for topic, ends in until.items() for number, end in sorted(ends.items())]


def _ends(sources: Sequence[Source]) -> dict[Topic, dict[int, int]]:
    found: dict[Topic, dict[int, int]] = {}
    for source in sources:
        found.setdefault(Topic(source.topic), {})[source.partition] = source.offset
    return found


def _ended(run: TrainingRun, result: JobResult) -> TrainingRun:
    if result.version is None:
        state, reason = RunState.FAILED, result.error or "it gave no result"
    elif result.refusals:
        state, reason = RunState.REFUSED, "; ".join(result.refusals)
    else:
        state, reason = RunState.FINISHED, run.reason
    return replace(
        run, state=state, reason=reason, version=result.version, refusals=result.refusals, ended_at=utc_now()
    )
