"""From when on a version's report counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas.rollout import ModelRecord, ModelState
from streams.rollout.report import began

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def test_a_report_counts_from_when_the_version_was_made_active_for_the_last_time() -> None:
    states = ["candidate", "shadow", "canary", "retired", "shadow", "shadow", "canary", "production"]
    records = [
        (NOW + timedelta(hours=hour), ModelRecord("new", ModelState(state), "", NOW, "tests"))
        for hour, state in enumerate(states)
    ]
    assert began(records)("new") == NOW + timedelta(hours=4)
    assert began(records[:4])("new") == NOW + timedelta(hours=1), "what a retired version did is still to be seen"
    assert began(records[:1])("new") is None
    assert began(records)("another") is None
