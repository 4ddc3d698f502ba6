"""Measures how long frames take from the camera to the answer in Redis, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.photos import sample_photos
from streams.devtools.benchmarks.load import Cameras
from streams.devtools.benchmarks.pipeline import backlog
from streams.devtools.benchmarks.rows import Figures, attempt
from streams.devtools.local_stack import Stack
from streams.devtools.reconciliation import Reconciliation
from streams.devtools.stats import percentile
from streams.devtools.synthetic_frames import frames_of_people

STAGES = ("to Kafka", "waiting", "embed", "match", "to Redis")
_USERS = 16
_DISTINCT = 240
_SETTLE_S = 5.0
_TIMEOUT_S = 600.0


def measure(folder: Path, frames: int, share: float, seconds: float, say: Callable[[str], None]) -> Iterator[Figures]:
    """Measure the greatest throughput with a backlog, and then latencies at a share of it; one worker of each role.

    Args:
        folder: for the stack.
        frames: of the backlog.
        share: of the throughput that is sent.
        seconds: how long.
        say: is told what is done.

    Yields:
        ``max_fps``; then ``rate_fps``, percentiles of the milliseconds from camera to answer, the same by stage as
        ``stages``, and ``lost`` and ``duplicates``.
    """
    pictures = frames_of_people(_DISTINCT)
    portrait = (sample_photos() / "obama.jpg").read_bytes()
    with Stack(folder, say, live_stream_length=10 * frames) as stack:
        stack.add_workers()
        say(f"measuring the throughput with {frames} frames")
        speeds: list[float] = []

        def throughput() -> Figures:
            speed, account = backlog(stack.settings, pictures, frames, portrait)
            speeds.append(speed)
            return {"max_fps": round(speed, 1), "lost": account.lost, "duplicates": account.duplicates}

        yield attempt("throughput", throughput)
        if not speeds:
            return
        users, rate = [f"user-{number}" for number in range(_USERS)], share * speeds[0]
        say(f"{rate:.1f} frames a second for {seconds:g} s")

        def latencies() -> Figures:
            with Cameras(stack.settings, users, pictures, rate) as cameras:
                time.sleep(_SETTLE_S + seconds)
            accounts = Reconciliation(stack.settings)
            account = accounts.settle(list(cameras.sent_at), users, _TIMEOUT_S, ask_every_s=_SETTLE_S)
            accounts.close()
            begun = min(at for _, at in cameras.sent_at.values()) + _SETTLE_S
            moments = [
                [at, *_moments(account.answers[event_id]), account.live_at[event_id]]
                for event_id, (_, at) in cameras.sent_at.items()
                if at >= begun and event_id in account.live_at
            ]
            parts = {
                stage: [1000 * (one[number + 1] - one[number]) for one in moments]
                for number, stage in enumerate(STAGES)
            }
            return {
                "rate_fps": round(rate, 1),
                **_percentiles([1000 * (one[-1] - one[0]) for one in moments]),
                "stages": {stage: _percentiles(values) for stage, values in parts.items()},
                "lost": account.lost,
                "duplicates": account.duplicates,
            }

        yield attempt("latency", latencies)


def _moments(answer: Mapping[str, Any]) -> list[float]:
    """When a frame was in Kafka, taken, embedded and matched: seconds since 1970."""
    timings = answer["timings"]
    texts = (timings["produced_at"], timings["received_at"], timings["embedded_at"], answer["matched_at"])
    return [datetime.fromisoformat(text).timestamp() for text in texts]


def _percentiles(milliseconds: list[float]) -> dict[str, float]:
    return {f"p{percent}_ms": percentile(milliseconds, percent) for percent in (50, 95, 99)}
