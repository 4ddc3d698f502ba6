"""Compares the pipeline with the bare models: frames a second, and processor time a frame by part."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from infra.photos import sample_photos
from models.analysis.analyzer import Analyzer
from models.embedder.card import Card
from models.embedder.model import Model
from models.matching.decision import Probes, decide
from models.matching.gallery import Embedded, Gallery
from schemas.ingest import Mode
from streams.client.producer import Producer
from streams.devtools.benchmarks.cpu import cpu_by_part, medians, ms_each, of_workers
from streams.devtools.benchmarks.load import Cameras
from streams.devtools.benchmarks.memory import Memory
from streams.devtools.benchmarks.rows import NOT_MEASURED, SPREAD, Figures, attempt
from streams.devtools.benchmarks.volume import answer_bytes, bytes_per_record, redis_bytes
from streams.devtools.benchmarks.written import Written
from streams.devtools.local_stack import Stack
from streams.devtools.reconciliation import Reconciliation, ReconciliationReport
from streams.devtools.synthetic_frames import frames_of_people
from streams.settings import Settings

_USERS = 16
_DISTINCT = 240
_BARE_FRAMES = 400
_TIMEOUT_S = 600.0
_ASK_EVERY_S = 5.0
_SETTLE_S = 5.0
_IDLE_S = 20.0


@dataclass(slots=True)
class _Rounds:
    """What each round gave: of the bare loop, and of the pipeline."""

    bare_fps: list[float] = field(default_factory=list)
    bare_ms: list[float] = field(default_factory=list)
    fps: list[float] = field(default_factory=list)
    cost: list[dict[str, float]] = field(default_factory=list)

    def spread(self) -> dict[str, list[float]]:
        """The least and the greatest of each figure that is measured in rounds."""
        rounds = {
            "bare_loop_frames_per_s": self.bare_fps,
            "bare_loop_cpu_ms": self.bare_ms,
            "frames_per_s": self.fps,
            "workers_cpu_ms": [of_workers(one) for one in self.cost],
            **{f"cpu_ms_per_frame.{part}": [one[part] for one in self.cost] for part in self.cost[0]},
        }
        return {name: [round(min(seen), 2), round(max(seen), 2)] for name, seen in rounds.items()}


def measure(
    folder: Path, frames: int, rounds: int, rate_fps: float, seconds: float, say: Callable[[str], None]
) -> Iterator[Figures]:
    """Run the services, the bare loop, the pipeline under a backlog, and the bare loop again; one worker of each role.

    Args:
        folder: for the stack.
        frames: of each round of the pipeline.
        rounds: how often the pipeline is measured, and the bare loop before and after it.
        rate_fps: frames a second of a further measurement; 0: none.
        seconds: how long that lasts.
        say: is told what is done.

    Yields:
        ``bare_loop_frames_per_s`` and ``bare_loop_cpu_ms``, medians; then ``frames_per_s`` between the first and the
        last tenth of the results, ``cpu_ms_per_frame`` by part and ``workers_cpu_ms``, medians; ``memory_mb``, the
        peak of a worker of each role; ``bytes_per_frame`` by place; ``lost`` and ``duplicates``; then ``at_rate`` with
        the same costs where frames come slowly, the processor time of a stack without frames in per cent of a core,
        and ``ratio``, what workers cost a frame there to what they cost in a backlog; last ``efficiency`` (the ratio
        of the speeds), ``overhead_cpu_ms``, the workers' processor time a frame beyond the bare loop's, and ``spread``,
        the least and the greatest of the rounds.
    """
    pictures = frames_of_people(_DISTINCT)
    portrait = (sample_photos() / "obama.jpg").read_bytes()
    seen = _Rounds()
    with Stack(folder, say, live_stream_length=20 * frames * rounds) as stack:
        bare = _BareLoop(stack.settings, portrait)

        def bare_loop() -> Figures:
            say("measuring the bare loop")
            for _ in range(rounds):
                fps, cpu_ms = bare.measure(pictures)
                seen.bare_fps.append(fps)
                seen.bare_ms.append(cpu_ms)
            return {
                "bare_loop_frames_per_s": round(statistics.median(seen.bare_fps), 1),
                "bare_loop_cpu_ms": round(statistics.median(seen.bare_ms), 2),
            }

        yield attempt("bare loop", bare_loop)
        stack.add_workers()
        piped = attempt("pipeline", lambda: _pipeline(stack, pictures, portrait, frames, rounds, seen, say))
        yield piped
        if rate_fps and seen.cost:
            yield attempt("at a low rate", lambda: _at_rate(stack, pictures, rate_fps, seconds, seen, say))
        for name in list(stack.services.supervisor.running()):
            if name.startswith("embed"):
                stack.services.supervisor.stop(name)
        yield attempt("bare loop again", bare_loop)
    if seen.bare_fps and NOT_MEASURED not in piped:
        yield {
            "efficiency": round(piped["frames_per_s"] / statistics.median(seen.bare_fps), 3),
            "overhead_cpu_ms": round(of_workers(medians(seen.cost)) - statistics.median(seen.bare_ms), 2),
            SPREAD: seen.spread(),
        }


def _pipeline(
    stack: Stack,
    pictures: Sequence[bytes],
    portrait: bytes,
    frames: int,
    rounds: int,
    seen: _Rounds,
    say: Callable[[str], None],
) -> Figures:
    lost = duplicates = 0
    empty = redis_bytes(stack.settings)
    with Memory(stack) as memory:
        for number in range(rounds):
            say(f"measuring the pipeline, round {number + 1} of {rounds}")
            written, before = Written(stack.settings), cpu_by_part(stack)
            events, users = send_backlog(stack.settings, pictures, frames, portrait)
            written.wait(len(events), _TIMEOUT_S)
            seen.cost.append(ms_each(before, cpu_by_part(stack), frames))
            account = settle(stack.settings, events, users)
            seen.fps.append(speed(account, events))
            lost, duplicates = lost + account.lost, duplicates + account.duplicates
    in_redis = round((redis_bytes(stack.settings) - empty) / (frames * rounds))
    return {
        "frames_per_s": round(statistics.median(seen.fps), 1),
        "cpu_ms_per_frame": medians(seen.cost),
        "workers_cpu_ms": of_workers(medians(seen.cost)),
        "memory_mb": memory.largest_mb,
        "bytes_per_frame": {
            **bytes_per_record(stack),
            "redis": in_redis,
            "redis answer": answer_bytes(stack.settings),
        },
        "lost": lost,
        "duplicates": duplicates,
    }


def _at_rate(
    stack: Stack,
    pictures: Sequence[bytes],
    rate_fps: float,
    seconds: float,
    seen: _Rounds,
    say: Callable[[str], None],
) -> Figures:
    say(f"nothing for {_IDLE_S:g} s")
    time.sleep(_SETTLE_S)
    before = cpu_by_part(stack)
    time.sleep(_IDLE_S)
    idle = {part: round(100 * (used - before[part]) / _IDLE_S, 1) for part, used in cpu_by_part(stack).items()}
    say(f"{rate_fps:g} frames a second for {seconds:g} s")
    with Cameras(stack.settings, _users(), pictures, rate_fps) as cameras:
        time.sleep(_SETTLE_S)
        before, first = cpu_by_part(stack), len(cameras.sent_at)
        time.sleep(seconds)
        frames = len(cameras.sent_at) - first
        cost = ms_each(before, cpu_by_part(stack), frames)
    account = settle(stack.settings, list(cameras.sent_at), _users())
    return {
        "at_rate": {
            "rate_fps": rate_fps,
            "frames": frames,
            "cpu_ms_per_frame": cost,
            "workers_cpu_ms": of_workers(cost),
            "ratio": round(of_workers(cost) / of_workers(medians(seen.cost)), 2),
            "idle_cpu_percent": idle,
            "lost": account.lost,
            "duplicates": account.duplicates,
        }
    }


class _BareLoop:
    """Decode, detect, align, embed and match in one process, in micro-batches as large as the worker's."""

    def __init__(self, settings: Settings, enrolled: bytes) -> None:
        model = Model.load(settings.chosen_model_dir, threads=settings.cpu_threads)
        self._batch_size = settings.batch_size
        self._candidates = settings.candidates
        self._card: Card = model.card
        self._analyzer = Analyzer(model, threads=settings.cpu_threads)
        self._analyzer.warm_up()
        self._gallery = Gallery(self._card.version, self._card.output.dimensions)
        vector = self._analyzer.analyze([enrolled], enrolment=True)[0].faces[0].vector or b""
        self._gallery.put("user", "subject", "template", Embedded(self._card.version, np.frombuffer(vector, "<f4")))

    def measure(self, pictures: Sequence[bytes]) -> tuple[float, float]:
        """Frames a second, and processor milliseconds a frame."""
        frames = list(itertools.islice(itertools.cycle(pictures), _BARE_FRAMES))
        began, used_s = time.perf_counter(), time.process_time()
        for start in range(0, len(frames), self._batch_size):
            for analysis in self._analyzer.analyze(frames[start : start + self._batch_size]):
                decide(
                    Probes(self._card.version, analysis.faces, [face.vector for face in analysis.faces]),
                    self._gallery,
                    self._card,
                    user_id="user",
                    mode=Mode.IDENTIFY,
                    candidates=self._candidates,
                )
        used_s = time.process_time() - used_s
        return len(frames) / (time.perf_counter() - began), 1000 * used_s / len(frames)


def backlog(
    settings: Settings, pictures: Sequence[bytes], frames: int, enrolled: bytes
) -> tuple[float, ReconciliationReport]:
    """Throughput with a backlog, in frames a second."""
    events, users = send_backlog(settings, pictures, frames, enrolled)
    account = settle(settings, events, users)
    return speed(account, events), account


def send_backlog(
    settings: Settings, pictures: Sequence[bytes], frames: int, enrolled: bytes
) -> tuple[list[str], list[str]]:
    """Send frames as fast as Kafka takes them, behind one photo of each user; return the events' ids and the users."""
    users = _users()
    with Producer(settings) as producer:
        events = [producer.enrol(user, enrolled, consent="benchmark").event_id for user in users]
        for user, jpeg in zip(
            itertools.cycle(users), itertools.islice(itertools.cycle(pictures), frames), strict=False
        ):
            events.append(producer.frame(user, jpeg, camera_id="bench").event_id)
    return events, users


def settle(settings: Settings, events: Sequence[str], users: Sequence[str]) -> ReconciliationReport:
    """What became of the events."""
    accounts = Reconciliation(settings)
    try:
        return accounts.settle(events, users, _TIMEOUT_S, ask_every_s=_ASK_EVERY_S)
    finally:
        accounts.close()


def speed(account: ReconciliationReport, events: Sequence[str]) -> float:
    """Frames a second between the first and the last tenth of the answers."""
    seen = sorted(account.live_at[one] for one in events[_USERS:] if one in account.live_at)
    first, last = len(seen) // 10, len(seen) - len(seen) // 10 - 1
    return (last - first) / max(1e-3, seen[last] - seen[first])


def _users() -> list[str]:
    return [f"user-{number}" for number in range(_USERS)]
