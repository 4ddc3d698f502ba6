"""Measures the throughput of replays, and the latency of live events beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import Self

from schemas.clock import utc_now
from sinks.redis import RedisResults
from streams.devtools.benchmarks.cpu import cpu_s
from streams.devtools.benchmarks.load import Load
from streams.devtools.benchmarks.rows import NOT_MEASURED, Figures, attempt, failed
from streams.devtools.local_stack import Stack
from streams.devtools.stats import percentile
from streams.kafka.topics import Topic
from streams.replay.plan import ReplayRequest, make_plan
from streams.replay.sender import ReplayProgress, Sender
from streams.replay.times import OLDEST
from streams.roles import Embedder, Role
from streams.settings import Settings

_AS_FAST_AS_IT_GOES = 1e6
_TIMEOUT_S = 300.0
_SETTLE_S = 3.0
_TURNS = 4
"""Turns of each measurement; they alternate, since the machine's other load comes and goes."""


def measure(
    folder: Path, events: int, live_per_s: float, seconds: float, say: Callable[[str], None]
) -> Iterator[Figures]:
    """Fill the log, replay it at full speed, then beside live events, with one worker of each role.

    Vectors are made from digests, so that everything but the networks is measured.

    Yields:
        Events a second of the pipeline itself and of replays at full speed, and those of a second of processor time of
        the match worker, which other processes on the machine do not change; after each turn percentiles of live
        latency (from the broker's time stamp to Redis) without a replay and beside one; their ratio; ``lost`` live
        events. Without a log there is nothing to replay.
    """
    with Stack(folder, say, live_stream_length=4 * events) as stack:
        stack.add_workers(Embedder.DIGEST)
        settings = stack.settings
        results = RedisResults.of(settings)

        def fill() -> Figures:
            say(f"filling the log with {events} frames")
            return {"pipeline_frames_per_s": round(_fill(settings, results, events), 1)}

        def embeddings() -> Figures:
            say("replaying embeddings at full speed")
            match_s = cpu_s(stack, Role.MATCH)
            per_s = _full_speed(settings, Topic.EMBEDDINGS)
            match_s = cpu_s(stack, Role.MATCH) - match_s
            return {
                "embeddings_per_s": round(per_s, 1),
                "embeddings_per_s_of_match_cpu": round(events / max(1e-3, match_s), 1),
            }

        def frames() -> Figures:
            say("replaying frames at full speed")
            return {"frames_per_s": round(_full_speed(settings, Topic.FRAMES), 1)}

        filled = attempt("filling the log", fill)
        yield filled
        if NOT_MEASURED in filled:
            yield from (failed(f"replay of {one}", "there is no log") for one in ("embeddings", "frames"))
            return
        yield attempt("replay of embeddings", embeddings)
        yield attempt("replay of frames", frames)
        say(f"{live_per_s:g} live events a second, {_TURNS} times {seconds / _TURNS:g} s without and beside a replay")
        turns = _Turns(settings, results, live_per_s, seconds / _TURNS)
        for turn in range(_TURNS):
            yield attempt(f"turn {turn + 1}", lambda turn=turn: turns.take(turn))  # type: ignore[misc]
        results.close()


class _Turns:
    """Measures live events without and with a replay, in turns."""

    def __init__(self, settings: Settings, results: RedisResults, live_per_s: float, seconds: float) -> None:
        self._settings = settings
        self._results = results
        self._live_per_s = live_per_s
        self._seconds = seconds
        self._without: list[float] = []
        self._beside: list[float] = []
        self._lost, self._replayed, self._took_s = 0, 0, 1e-3

    def take(self, turn: int) -> Figures:
        """Take one turn; return the figures of all turns so far."""
        without, missing = self._live(f"alone-{turn}")
        with _Replays(self._settings) as replays:
            beside, missing_too = self._live(f"beside-{turn}")
        self._without += without
        self._beside += beside
        self._lost += missing + missing_too
        self._replayed, self._took_s = self._replayed + replays.answered, self._took_s + replays.took_s
        quiet_ms, busy_ms = percentile(self._without, 99), percentile(self._beside, 99)
        return {
            "beside_live_per_s": round(self._replayed / self._took_s, 1),
            "live_p50_ms": {"without": percentile(self._without, 50), "with": percentile(self._beside, 50)},
            "live_p99_ms": {"without": quiet_ms, "with": busy_ms},
            "p99_ratio": round(busy_ms / max(1e-3, quiet_ms), 3),
            "lost": self._lost,
        }

    def _live(self, name: str) -> tuple[list[float], int]:
        return _live(self._settings, self._results, self._live_per_s, self._seconds, name)


def _fill(settings: Settings, results: RedisResults, events: int) -> float:
    """Send frames; return how many a second the pipeline answered."""
    with Load(settings, 1.0, "log") as load:
        time.sleep(_SETTLE_S)
        began = time.monotonic()
        load.burst(events)
        results.wait_for(list(load.sent), _TIMEOUT_S)
        return events / (time.monotonic() - began)


def _full_speed(settings: Settings, topic: Topic) -> float:
    plan = make_plan(settings, ReplayRequest(topic, OLDEST, utc_now()))
    done = Sender(settings, plan.replay, rate=_AS_FAST_AS_IT_GOES).run()
    return done.sent / done.seconds


def _live(
    settings: Settings, results: RedisResults, per_s: float, seconds: float, name: str
) -> tuple[list[float], int]:
    """Latencies of live events in milliseconds, and how many have no answer."""
    with Load(settings, per_s, name) as load:
        time.sleep(_SETTLE_S)
        warm_up = set(load.sent)
        time.sleep(seconds)
    answers = results.wait_for(list(load.sent), _TIMEOUT_S)
    live_at = {
        entry.event["event_id"]: int(entry.entry_id.partition("-")[0])
        for user in load.users
        for entry in results.follow(user, after="0", timeout_s=0.05)
    }
    latencies = [
        live_at[one] - 1000 * _seconds(answer["timings"]["produced_at"])
        for one, answer in answers.items()
        if one in live_at and one not in warm_up
    ]
    return latencies, len(load.sent) - len(answers)


class _Replays:
    """Replay embeddings repeatedly while the block runs; then give the number of answers and the seconds."""

    def __init__(self, settings: Settings) -> None:
        self.answered, self.took_s = 0, 0.0
        self._settings = settings
        self._stop = Event()
        self._thread = Thread(target=self._run, name="replay")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            plan = make_plan(self._settings, ReplayRequest(Topic.EMBEDDINGS, OLDEST, utc_now()))
            sender = Sender(self._settings, plan.replay, report=self._report)
            began = time.monotonic()
            with suppress(InterruptedError):
                sender.run()
            self.answered += sender.progress.answered
            self.took_s += time.monotonic() - began

    def _report(self, _: ReplayProgress) -> None:
        if self._stop.is_set():
            raise InterruptedError


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
