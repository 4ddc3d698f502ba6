"""Measures how long live frames wait while somebody else sends a bulk."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sinks.redis import RedisResults
from streams.client.producer import Producer
from streams.devtools.benchmarks.load import Cameras
from streams.devtools.benchmarks.rows import Figures, failed
from streams.devtools.local_stack import Stack
from streams.devtools.reconciliation import Reconciliation, ReconciliationReport
from streams.devtools.stats import percentile
from streams.devtools.synthetic_frames import frames_of_people
from streams.kafka.partitioner import partition_of
from streams.settings import Settings

ONE_USER, MANY_USERS, WILD_CAMERA = "one-user", "many-users", "wild-camera"
CASES = (ONE_USER, MANY_USERS, WILD_CAMERA)
"""One user enrols many people; many users enrol one each; one camera sends many frames at once."""
_CAMERAS = 20
_DISTINCT = 120
_SETTLE_S = 5.0
_TIMEOUT_S = 1800.0
_BULK_USER = "bulk"


def measure(
    folder: Path, events: int, frames_per_s: float, seconds: float, only: Sequence[str], say: Callable[[str], None]
) -> Iterator[Figures]:
    """Measure live frames of 20 users' cameras alone, and beside each kind of bulk; with one worker of each role.

    Half of these users share the partition of the one who sends the bulk.

    Args:
        folder: for the stack.
        events: photos or frames of a bulk.
        frames_per_s: of all cameras together.
        seconds: how long the cameras are watched, alone and from the beginning of a bulk on.
        only: the cases to measure, of :data:`CASES`.
        say: is told what is done.

    Yields:
        For each case, and by partition where one user sends the bulk: percentiles of the milliseconds from sending a
        frame until its answer is in Redis, alone and beside the bulk; ``bulk_per_s``, done while the cameras went on;
        ``lost`` and ``duplicates`` of all events of the case.
    """
    pictures = frames_of_people(_DISTINCT)
    with Stack(folder, say, live_stream_length=10 * (events + round(frames_per_s * seconds))) as stack:
        stack.add_workers()
        for case in only:
            bench = _Bench(stack.settings, case, pictures, frames_per_s)
            try:
                yield from bench.run(events, seconds, say)
            except Exception as error:
                yield failed(case, error)


class _Bench:
    """One case."""

    def __init__(self, settings: Settings, case: str, pictures: Sequence[bytes], frames_per_s: float) -> None:
        self._settings = settings
        self._case = case
        self._pictures = pictures
        self._frames_per_s = frames_per_s
        self._number = partition_of(f"{case}-{_BULK_USER}", settings.partitions)
        names = (f"{case}-camera-{number}" for number in itertools.count())
        self._users: dict[str, bool] = {}
        """Whether each user shares the partition of the bulk."""
        for name in names:
            shares = partition_of(name, settings.partitions) == self._number
            if sum(one == shares for one in self._users.values()) < _CAMERAS // 2:
                self._users[name] = shares
            if len(self._users) == _CAMERAS:
                break

    def run(self, events: int, seconds: float, say: Callable[[str], None]) -> Iterator[Figures]:
        say(f"{self._case}: cameras alone for {seconds:g} s")
        with Cameras(self._settings, self._users, self._pictures, self._frames_per_s) as alone:
            time.sleep(_SETTLE_S + seconds)
        idle = self._settle(list(alone.sent_at), list(self._users))
        say(f"{self._case}: beside {events} events for {seconds:g} s")
        with Cameras(self._settings, self._users, self._pictures, self._frames_per_s) as beside:
            time.sleep(_SETTLE_S)
            bulk = self._send(events)
            began = time.monotonic()
            time.sleep(seconds)
            done = self._answered(bulk) / (time.monotonic() - began)
        say(f"{self._case}: waiting for the rest")
        busy = self._settle(list(beside.sent_at), list(self._users))
        rest = self._settle(list(bulk), sorted(set(bulk.values())), follow=False)
        shared = (None,) if self._case == MANY_USERS else (True, False)
        for shares in shared:
            quiet_ms, busy_ms = (
                _latencies(cameras, report, [user for user, same in self._users.items() if shares in (None, same)])
                for cameras, report in ((alone, idle), (beside, busy))
            )
            where = {None: "", True: "-same-partition", False: "-other-partitions"}[shares]
            yield {
                "case": self._case + where,
                "idle_p50_ms": percentile(quiet_ms, 50),
                "idle_p99_ms": percentile(quiet_ms, 99),
                "bulk_p50_ms": percentile(busy_ms, 50),
                "bulk_p99_ms": percentile(busy_ms, 99),
                "bulk_per_s": round(done, 1),
                "lost": sum(one.lost for one in (idle, busy, rest)),
                "duplicates": sum(one.duplicates for one in (idle, busy, rest)),
            }

    def _send(self, events: int) -> dict[str, str]:
        """Send the bulk as fast as Kafka takes it; users by event id."""
        sent: dict[str, str] = {}
        user = f"{self._case}-{_BULK_USER}"
        with Producer(self._settings, block_s=120) as producer:
            for number, jpeg in enumerate(itertools.islice(itertools.cycle(self._pictures), events)):
                if self._case == WILD_CAMERA:
                    sent[producer.frame(user, jpeg, camera_id="wild").event_id] = user
                    continue
                owner = user if self._case == ONE_USER else f"{user}-{number}"
                handle = producer.enrol(owner, jpeg, consent="benchmark", subject_id=f"subject-{number}")
                sent[handle.event_id] = owner
        return sent

    def _answered(self, bulk: Mapping[str, str]) -> int:
        results = RedisResults.of(self._settings)
        try:
            return len(results.answers(list(bulk)))
        finally:
            results.close()

    def _settle(self, ids: Sequence[str], users: Sequence[str], *, follow: bool = True) -> ReconciliationReport:
        accounts = Reconciliation(self._settings)
        try:
            return accounts.settle(ids, users, _TIMEOUT_S, ask_every_s=2.0, follow=follow)
        finally:
            accounts.close()


def _latencies(cameras: Cameras, report: ReconciliationReport, users: Sequence[str]) -> list[float]:
    """Milliseconds from sending to the answer, of these users' frames after the first seconds."""
    begun = min(at for _, at in cameras.sent_at.values()) + _SETTLE_S
    return [
        1000 * (report.live_at[event_id] - at)
        for event_id, (user, at) in cameras.sent_at.items()
        if user in users and at >= begun and event_id in report.live_at
    ]
