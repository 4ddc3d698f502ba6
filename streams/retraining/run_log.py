"""The topic ``runs``: leases on scheduled trainings with fencing tokens. The order of its one partition decides.

A worker that wants a run appends a claim and reads on until it sees it. The first claim wins the run, and the claim's
offset is the fencing token that all later records of the run carry. A claim that takes a run over names the token that
it replaces: of two such claims again the first wins, and from then on no record with the old token counts. So a worker
that was suspended, and does not know that it has lost its run, does no harm with what it appends.

The topic is compacted and keeps the last record of a run even if that record does not count. A worker that sees such a
record behind the end of a run therefore writes the end again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from schemas import codec
from schemas.clock import utc_now
from schemas.errors import CodecError
from schemas.learning import RunState, TrainingRun
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.log_reader import LogReader
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.settings import Settings

log = logging.getLogger(__name__)

ENDED = frozenset({RunState.SKIPPED, RunState.FINISHED, RunState.REFUSED, RunState.FAILED})
"""States in which a run is over."""
_PARTITION = 0
_FLUSH_S = 10.0


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The status of a run.

    Attributes:
        run: the record that counts, with its token.
        changed_at: monotonic seconds at which this worker read it, so that clocks of other machines do not matter.
        released: whether its worker gave it back, so that nobody has it.
        superseded: whether a record that does not count lies behind it.
    """

    run: TrainingRun
    changed_at: float
    released: bool = False
    superseded: bool = False

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.run.state in ENDED

    @property
    def token(self) -> int:
        """The fencing token of the worker that has the run."""
        assert self.run.token is not None
        return self.run.token


def counts(known: TrainingRun | None, new: TrainingRun, offset: int) -> TrainingRun | None:
    """The record of a run that counts after a new one was read, with its token; None if the new one does not count."""
    if new.token is None:
        fresh = known is None or (known.state not in ENDED and new.takes_over == known.token)
        return replace(new, token=offset) if fresh else None
    if known is None or (known.state not in ENDED and new.token == known.token):
        return new
    return known if (new.token, new.state) == (known.token, known.state) else None


class RunLog:
    """Reads and writes the topic; a context manager, for one thread."""

    def __init__(self, settings: Settings) -> None:
        """Connects at its first call."""
        self._log = LogReader(settings, Topic.RUNS)
        self._topic = Topic.RUNS.named(settings)
        self._next: dict[int, int] = {}
        self._runs: dict[str, RunStatus] = {}
        self._writer = RecordWriter(settings, Topic.RUNS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._log.close()

    def __iter__(self) -> Iterator[RunStatus]:
        """All runs, the earliest tick first."""
        return iter(sorted(self._runs.values(), key=lambda one: one.run.due_at))

    def of(self, run_id: str) -> RunStatus | None:
        """The status of a run, as far as the topic has been read; None if it is not there."""
        return self._runs.get(run_id)

    def refresh(self) -> None:
        """Read what has come since the last call.

        Raises:
            KafkaUnavailable: no broker answers. Meanwhile no worker can renew a run, so every lease begins anew.
            TopicMissing: the topic has not been created.
        """
        try:
            ranges = self._log.since(self._next)
            for message in self._log.messages(ranges):
                try:
                    new = codec.decode(message.value, TrainingRun)
                except CodecError as error:
                    log.warning("offset %d of %s is no run: %s", message.offset, self._topic, error)
                    continue
                self._take(new, message.offset)
        except KafkaUnavailable:
            now = time.monotonic()
            self._runs = {key: replace(one, changed_at=now) for key, one in self._runs.items()}
            raise
        self._next |= {one.partition: one.end_offset for one in ranges}

    def append(self, run: TrainingRun) -> RunStatus | None:
        """Write a record and read on; return the run's status then, None if the record does not count.

        Raises:
            KafkaUnavailable: it is not known whether it was taken.
        """
        self._writer.write(run.run_id, codec.encode(replace(run, heartbeat_at=utc_now())), _PARTITION)
        self.refresh()
        status = self._runs.get(run.run_id)
        if status is None or status.run.claim_id != run.claim_id or status.run.state is not run.state:
            return None
        return status

    def _take(self, new: TrainingRun, offset: int) -> None:
        known = self._runs.get(new.run_id)
        counted = counts(known.run if known else None, new, offset)
        if counted is not None:
            released = new.token is not None and new.state is RunState.WAITING
            self._runs[new.run_id] = RunStatus(counted, time.monotonic(), released)
        elif known is not None:
            self._runs[new.run_id] = replace(known, superseded=True)


def runs(settings: Settings) -> list[TrainingRun]:
    """All runs as they are now, the earliest tick first.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    with RunLog(settings) as run_log:
        run_log.refresh()
        return [one.run for one in run_log]
