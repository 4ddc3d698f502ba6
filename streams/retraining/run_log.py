"""The topic ``runs``: whose each scheduled training is, and how it stands. The order of its one partition decides.

A worker that wants a run appends a claim and reads on until it sees it. The first claim of a run has it, and the
claim's offset is the fencing token that all its later records carry. A claim that takes over names the token that it
takes the run from; so of two that do, again the first has it, and from there on no record with the old token counts. A
worker that was suspended, and does not know that its run went elsewhere, may append what it likes.

The topic is compacted, and keeps the last record of a run even where that one does not count. So whoever sees such a
one behind the end of a run writes the end again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from schemas import codec
from schemas.errors import CodecError
from schemas.events import RunState, TrainingRun, utc_now
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.log_reader import LogReader
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.settings import Settings

log = logging.getLogger(__name__)

ENDED = frozenset({RunState.SKIPPED, RunState.FINISHED, RunState.REFUSED, RunState.FAILED})
"""States in which nobody works on a run any more."""
_PARTITION = 0
_FLUSH_S = 10.0


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How a run stands.

    Attributes:
        run: the record that counts, with its token.
        changed_at: monotonic seconds at which it was read, by which another machine's clock need not be right.
        given_back: whether its worker was stopped, so that nobody has it.
        shadowed: whether a record that does not count lies behind it.
    """

    run: TrainingRun
    changed_at: float
    released: bool = False
    superseded: bool = False

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.run.state in ENDED

    @property
    def token(self) -> int:
        """The fencing token of whoever has the run."""
        assert self.run.token is not None
        return self.run.token


def counts(known: TrainingRun | None, new: TrainingRun, offset: int) -> TrainingRun | None:
    """The new record of a run as it counts behind the known one, with its token; None if it does not count."""
    if new.token is None:
        fresh = known is None or (known.state not in ENDED and new.takes_over == known.token)
        return replace(new, token=offset) if fresh else None
    if known is None or (known.state not in ENDED and new.token == known.token):
        return new
    return known if (new.token, new.state) == (known.token, known.state) else None


class RunLog:
    """Reads and writes the topic; a context manager, for one thread."""

    def __init__(self, settings: Settings) -> None:
        """Connects when it is first asked something."""
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
        """Every run, the earliest tick first."""
        return iter(sorted(self._runs.values(), key=lambda one: one.run.due_at))

    def of(self, run_id: str) -> RunStatus | None:
        """How a run stands, as far as the topic has been read."""
        return self._runs.get(run_id)

    def refresh(self) -> None:
        """Read what has come since.

        Raises:
            KafkaUnavailable: no broker answers. Until one does nobody can tell of a run, so its silence begins anew.
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
        """Write a record and read on; how its run stands then, None if the record does not count.

        Raises:
            KafkaUnavailable: it is not known whether it was taken.
        """
        self._writer.write(run.run_id, codec.encode(replace(run, heartbeat_at=utc_now())), _PARTITION)
        self.refresh()
        standing = self._runs.get(run.run_id)
        ours = standing is not None and standing.run.claim_id == run.claim_id
        return standing if ours and standing is not None and standing.run.state is run.state else None

    def _take(self, new: TrainingRun, offset: int) -> None:
        known = self._runs.get(new.run_id)
        counted = counts(known.run if known else None, new, offset)
        if counted is not None:
            released = new.token is not None and new.state is RunState.WAITING
            self._runs[new.run_id] = RunStatus(counted, time.monotonic(), released)
        elif known is not None:
            self._runs[new.run_id] = replace(known, superseded=True)


def runs(settings: Settings) -> list[TrainingRun]:
    """Every run as it is now, the earliest tick first.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    with RunLog(settings) as ledger:
        ledger.refresh()
        return [one.run for one in ledger]
