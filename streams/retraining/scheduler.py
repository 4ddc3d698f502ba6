"""Schedules trainings: at a tick a worker decides and claims the run, between ticks it looks after all runs.

Nothing here waits for a training: every call returns within seconds, and all calls come from one thread.
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

from schemas.clock import utc_now
from schemas.learning import RunState, TrainingRun
from schemas.parts import Source
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
"""A run counts as failed once this many workers have died of it."""
_BEATS = 6
"""Heartbeats within the time after which a silent run is taken over."""

Alarm = Callable[[], str | None]
"""Returns a reason to train although little is new, as a sentence; None if there is none."""


@dataclass(slots=True)
class _Held:
    """The run that this worker has, its fencing token, and the process that trains since a monotonic time."""

    run: TrainingRun
    token: int
    job: JobProcess
    since: float


class Retrainer:
    """One worker's share in the scheduled trainings; a context manager, for one thread."""

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
            settings: schedule and conditions of trainings.
            worker: this worker's name, for people.
            alarms: called at every tick.
            command: runs a training; see :mod:`streams.retraining.job_main`.
        """
        self._settings = settings
        self._worker = worker
        self._alarms = alarms
        self._command = command
        self._run_log = RunLog(settings)
        self._faces = LearnableFaces(settings)
        self._directories = RunDirectories(settings)
        self._held: _Held | None = None
        self._published: set[str] = set()

    @property
    def every_s(self) -> float:
        """The seconds from one call of :meth:`beat` to the next."""
        return self._settings.retrain_lease_s / _BEATS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def tick(self, now: datetime) -> None:
        """Decide about the run of the last tick, unless another worker has; if it is to train, claim and begin it.

        Raises:
            KafkaUnavailable: no broker answers; the next tick decides anew.
            TopicMissing: a topic has not been created.
        """
        due_at = cron.tick(self._settings.retrain_schedule, now)
        run_id = cron.run_id(due_at)
        self._run_log.refresh()
        if self._run_log.of(run_id) is not None:
            return
        decision, new_data = self._decide(now)
        claim = self._claim(run_id, due_at, now, decision, new_data)
        if (claimed := self._run_log.append(claim)) is None:
            log.info("run %s is another worker's", run_id)
        elif decision.train:
            self._begin(claimed)

    def _decide(self, now: datetime) -> tuple[TrainingDecision, NewTrainingData]:
        """Whether to train, and what there is to learn from; nothing is counted while another run is under way."""
        before = [one.run for one in self._run_log if one.run.state is not RunState.SKIPPED]
        if under_way := [one for one in before if one.state not in ENDED]:
            reason = f"run {under_way[0].run_id} is under way"
            return TrainingDecision(False, reason, []), NewTrainingData(TrainableFaces(), {})
        learned = [one for one in before if one.version is not None]
        new_data = self._faces.new_data(_ends(learned[-1].until) if learned else {})
        hours = (now - before[-1].claimed_at).total_seconds() / 3600 if before else None
        counted = replace(new_data.counted, hours=hours, alarms=self._alarm_reasons())
        return decide(counted, TrainingMinimum.of(self._settings)), new_data

    def _claim(
        self, run_id: str, due_at: datetime, now: datetime, decision: TrainingDecision, new_data: NewTrainingData
    ) -> TrainingRun:
        """The first record of a run: a claim, or that it is skipped."""
        return TrainingRun(
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

    def beat(self) -> None:
        """Renew this worker's run, or end it with its training; take over a silent run; tidy up after ended ones.

        Raises:
            KafkaUnavailable: no broker answers; a training goes on.
            TopicMissing: the topic has not been created.
        """
        if self._held is not None:
            self._held.job.send_keepalive()
        self._run_log.refresh()
        if self._held is not None:
            self._look_after(self._held)
        for status in list(self._run_log):
            if status.ended:
                self._tidy(status)
            elif self._held is None and self._is_free(status):
                self._take_over(status)

    def close(self) -> None:
        """Release this worker's run, so that another worker need not wait for its lease to end."""
        held, self._held = self._held, None
        if held is not None:
            held.job.stop()
            try:
                released = replace(held.run, state=RunState.WAITING, attempt=max(0, held.run.attempt - 1))
                self._run_log.append(released)
            except KafkaUnavailable as error:
                log.warning("run %s could not be released: %s", held.run.run_id, error)
        self._run_log.close()
        self._faces.close()

    def _look_after(self, held: _Held) -> None:
        """Renew the lease of this worker's run, with its progress or its result."""
        known = self._run_log.of(held.run.run_id)
        if known is None or known.token != held.token:
            self._lose(held)
            return
        result = held.job.result()
        if result is None and time.monotonic() - held.since > 3600 * self._settings.retrain_timeout_h:
            held.job.stop()
            result = JobResult(error=f"it took longer than {self._settings.retrain_timeout_h:g} h")
        status = held.job.status()
        now = replace(
            held.run,
            step=status.step,
            steps=status.steps,
            faces=status.faces or held.run.faces,
            people=status.people or held.run.people,
        )
        held.run = now if result is None else _ended(now, result)
        if (renewed := self._run_log.append(held.run)) is None:
            self._lose(held)
        elif result is not None:
            held.job.stop()
            self._held = None
            log.info("run %s %s: %s", held.run.run_id, held.run.state, held.run.reason)
            self._tidy(renewed)

    def _lose(self, held: _Held) -> None:
        """Stop a training whose run another worker has; nothing of it may be used any more."""
        log.warning("run %s went to another worker, since this one was silent", held.run.run_id)
        held.job.stop()
        self._held = None

    def _is_free(self, status: RunStatus) -> bool:
        """Whether no worker has a run: it was released, or its lease is over."""
        silent_s = time.monotonic() - status.changed_at
        return status.released or silent_s > self._settings.retrain_lease_s

    def _take_over(self, status: RunStatus) -> None:
        """Claim a free run, and go on with what its last worker has done."""
        before = status.run
        claim = replace(
            before,
            state=RunState.WAITING,
            claim_id=str(uuid.uuid4()),
            token=None,
            takes_over=status.token,
            attempt=before.attempt + 1,
            worker=self._worker,
            host=platform.node(),
        )
        if before.attempt >= ATTEMPTS:
            reason = f"{before.attempt} workers have died of it, the last one was {before.worker} on {before.host}"
            claim = replace(claim, state=RunState.FAILED, reason=reason, ended_at=utc_now())
        if (taken := self._run_log.append(claim)) is None:
            return
        log.warning("run %s is taken over from %s on %s", before.run_id, before.worker, before.host)
        if not taken.ended:
            self._directories.inherit(before.run_id, status.token, taken.token)
            self._begin(taken)

    def _begin(self, claimed: RunStatus) -> None:
        """Start the training of a run that this worker has claimed."""
        run, token = claimed.run, claimed.token
        spec = JobSpec(
            run_id=run.run_id,
            until=_ends(run.until),
            mode=Mode(self._settings.retrain_mode),
            workers=self._settings.retrain_workers,
            steps=self._settings.retrain_steps,
            patience_s=2 * self._settings.retrain_lease_s,
        )
        job = JobProcess.start(self._directories.of(run.run_id, token), spec, self._command)
        running = replace(run, state=RunState.RUNNING)
        self._held = _Held(running, token, job, time.monotonic())
        log.info("run %s begins: %s", run.run_id, run.reason)
        if self._run_log.append(running) is None:
            self._lose(self._held)

    def _tidy(self, ended: RunStatus) -> None:
        """Publish the version of an ended run, in case its worker died before it could, and keep no faces of it."""
        run = ended.run
        if ended.superseded:
            self._run_log.append(run)
        if run.version is None:
            # Each time: the process of a worker that has lost the run may live on for a while, and write.
            self._directories.empty(run.run_id)
            return
        if run.run_id in self._published:
            return
        self._directories.publish(run.run_id, ended.token, run.version)
        self._directories.remove(run.run_id)
        self._published.add(run.run_id)

    def _alarm_reasons(self) -> list[str]:
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
