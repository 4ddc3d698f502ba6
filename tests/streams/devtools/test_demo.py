"""What the demonstration says of its events: right and wrong answers, latency, and where the time went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.devtools.demo import CAMERAS, PHOTOS, DemoEvents, latencies_ms, mean_step_ms, summary
from streams.devtools.reconciliation import ReconciliationReport

AT = datetime(2026, 1, 1, tzinfo=UTC)


def answer(*names: str) -> dict[str, Any]:
    """A frame's answer that was made 30 ms after the frame was produced."""
    faces = [{"subject_id": name, "decision": "match"} for name in names]
    times = {"produced_at": 0, "received_at": 5, "embedded_at": 25, "matched_at": 30}
    iso = {name: (AT + timedelta(milliseconds=ms)).isoformat() for name, ms in times.items()}
    matched_at = iso.pop("matched_at")
    parts = {"decode_ms": 2.0, "detect_ms": 4.0, "align_ms": 1.0, "embed_ms": 8.0}
    return {"faces": faces, "matched_at": matched_at, "timings": iso | parts}


@pytest.fixture
def events() -> DemoEvents:
    frames = {
        "right": CAMERAS[0],
        "wrong": CAMERAS[0],
        "missed": CAMERAS[0],
        "stranger": CAMERAS[1],
        "lost": CAMERAS[2],
    }
    return DemoEvents({"photo": PHOTOS[0]}, dict(frames), AT.timestamp())


@pytest.fixture
def account() -> ReconciliationReport:
    answers = {
        "photo": {"outcome": "enrolled", "refusal": None},
        "right": answer("obama"),
        "wrong": answer("biden"),
        "missed": answer(),
        "stranger": answer(),
    }
    live_at = {name: AT.timestamp() + 0.040 for name in answers}
    return ReconciliationReport(answers, live_at, in_redis=5, in_bigquery=5, lost=1, duplicates=0)


def test_the_figures_of_a_demonstration(events: DemoEvents, account: ReconciliationReport) -> None:
    figures = summary(events, account)
    assert {name: figures[name] for name in ("photos", "enrolled", "refused", "frames", "lost")} == {
        "photos": 1,
        "enrolled": 1,
        "refused": 0,
        "frames": 5,
        "lost": 1,
    }
    assert (figures["results_redis"], figures["rows_bigquery"]) == (4, 4), "without the photos'"
    assert (figures["correct"], figures["wrong"], figures["missed"]) == (2, 1, 1)
    assert figures["frames_per_s"] == 125.0


def test_latency_is_from_the_broker_to_redis(events: DemoEvents, account: ReconciliationReport) -> None:
    assert latencies_ms(events, account) == pytest.approx([40.0] * 4, abs=1e-2)


def test_the_steps_of_a_frame_add_up_to_its_latency(events: DemoEvents, account: ReconciliationReport) -> None:
    steps = mean_step_ms(events, account)
    assert sum(steps.values()) == pytest.approx(40.0, abs=1e-2)
    assert {name: round(ms) for name, ms in steps.items()} == {
        "wait for embed": 5,
        "decode": 2,
        "detect": 4,
        "align": 1,
        "embed": 8,
        "rest of the micro-batch": 5,
        "to match, and match": 5,
        "to Redis": 10,
    }
