"""How fast events are replayed, and what live ones notice of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import psutil

from schemas.events import utc_now
from sinks.redis import RedisResults
from streams.cli.benchmarks.load import Load
from streams.cli.charts import percentile
from streams.cli.stack import Stack
from streams.replay.plan import Request, make_plan
from streams.replay.sender import Progress, Sender
from streams.replay.times import OLDEST
from streams.roles import Embedder, Role
from streams.settings import Settings
from streams.topics import Topic

_AS_FAST_AS_IT_GOES = 1e6
_TIMEOUT_S = 300.0
_SETTLE_S = 3.0
_TURNS = 4
"""The other work of a machine comes and goes, so both ways are measured in turns."""


def measure(folder: Path, events: int, live_per_s: float, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Fill the log, replay it at full speed, then beside live events, with one worker of each role.

    Vectors are made from digests, so that everything but the networks is measured.

    Returns:
        Events a second of the pipeline itself and of replays at full speed, and those of a second of processor time of
        the match worker, which other processes on the machine do not change; percentiles of live latency (from the
        broker's time stamp to Redis) without a replay and beside one, in turns; their ratio; ``lost`` live events.
    """
    with Stack(folder, say, live_stream_length=4 * events) as stack:
        stack.add_workers(Embedder.DIGEST)
        settings = stack.settings
        results = RedisResults(settings.redis_url, settings.redis_prefix)
        say(f"filling the log with {events} frames")
        pipeline_per_s = _fill(settings, results, events)
        say("replaying at full speed")
        match_s = _cpu_s(stack, Role.MATCH)
        embeddings_per_s = _full_speed(settings, Topic.EMBEDDINGS)
        match_s = _cpu_s(stack, Role.MATCH) - match_s
        frames_per_s = _full_speed(settings, Topic.FRAMES)
        say(f"{live_per_s:g} live events a second, {_TURNS} times {seconds / _TURNS:g} s without and beside a replay")
        without, beside, lost, replayed, took_s = [], [], 0, 0, 1e-3
        for turn in range(_TURNS):
            latencies, missing = _live(settings, results, live_per_s, seconds / _TURNS, f"alone-{turn}")
            without += latencies
            with _Replays(settings) as replays:
                latencies, missing_too = _live(settings, results, live_per_s, seconds / _TURNS, f"beside-{turn}")
            beside += latencies
            lost += missing + missing_too
            replayed, took_s = replayed + replays.answered, took_s + replays.took_s
        results.close()
    quiet_ms, busy_ms = percentile(without, 99), percentile(beside, 99)
    return {
        "embeddings_per_s": round(embeddings_per_s, 1),
        "embeddings_per_s_of_match_cpu": round(events / match_s, 1),
        "frames_per_s": round(frames_per_s, 1),
        "pipeline_frames_per_s": round(pipeline_per_s, 1),
        "beside_live_per_s": round(replayed / took_s, 1),
        "live_p50_ms": {"without": percentile(without, 50), "with": percentile(beside, 50)},
        "live_p99_ms": {"without": quiet_ms, "with": busy_ms},
        "p99_ratio": round(busy_ms / max(1e-3, quiet_ms), 3),
        "lost": lost,
    }


def _fill(settings: Settings, results: RedisResults, events: int) -> float:
    """Send frames, and tell how many a second the pipeline answered."""
    with Load(settings, 1.0, "log") as load:
        time.sleep(_SETTLE_S)
        began = time.monotonic()
        load.burst(events)
        results.wait_for(list(load.sent), _TIMEOUT_S)
        return events / (time.monotonic() - began)


def _full_speed(settings: Settings, topic: Topic) -> float:
    plan = make_plan(settings, Request(topic, OLDEST, utc_now()))
    done = Sender(settings, plan.replay, rate=_AS_FAST_AS_IT_GOES).run()
    return done.sent / done.seconds


def _cpu_s(stack: Stack, role: Role) -> float:
    """Processor time that the workers of a role have used."""
    running = stack.services.supervisor.running()
    leaders = [psutil.Process(pid) for name, pid in running.items() if name.startswith(f"{role}-")]
    every = [one for leader in leaders for one in (leader, *leader.children(recursive=True))]
    return sum(sum(one.cpu_times()[:2]) for one in every)


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
    """Replays of embeddings, one after another, while the block runs; afterwards how many were answered in how long."""

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
            plan = make_plan(self._settings, Request(Topic.EMBEDDINGS, OLDEST, utc_now()))
            sender = Sender(self._settings, plan.replay, report=self._report)
            began = time.monotonic()
            with suppress(InterruptedError):
                sender.run()
            self.answered += sender.progress.answered
            self.took_s += time.monotonic() - began

    def _report(self, _: Progress) -> None:
        if self._stop.is_set():
            raise InterruptedError


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
