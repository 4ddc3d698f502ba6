"""Which dead letters a filter selects, and how the selected ones stand."""

from __future__ import annotations

import pytest

from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter, Resolution, ResolutionState
from streams.dead_letters.redrive import RedriveFilter, RedriveSelection
from streams.dead_letters.store import DeadLetterRecord

OPEN, SENDING, SENT = None, ResolutionState.SENDING, ResolutionState.SENT


def record(letter_id: str, reason: str, stage: str, state: ResolutionState | None) -> DeadLetterRecord:
    letter = DeadLetter(
        letter_id=letter_id,
        stage=stage,
        topic="frames",
        partition=0,
        offset=0,
        key=b"ursula",
        value=b"",
        headers=[],
        reason=reason,
        error_class="Error",
        message="it failed",
        attempt=1,
        failed_at=utc_now(),
    )
    if state is None:
        return DeadLetterRecord(letter, None)
    return DeadLetterRecord(letter, Resolution("r", letter_id, "replay", state, "frames", utc_now()))


RECORDS = [
    record("aaa1", "failed", "embed", OPEN),
    record("aaa2", "failed", "match", OPEN),
    record("bbb1", "no_key", "embed", OPEN),
    record("bbb2", "failed", "embed", SENDING),
    record("bbb3", "failed", "embed", SENT),
]


@pytest.mark.parametrize(
    ("wanted", "reasons"),
    [
        (RedriveFilter(), {"failed": 2, "no_key": 1}),
        (RedriveFilter(reasons=["failed"]), {"failed": 2}),
        (RedriveFilter(stage="match"), {"failed": 1}),
        (RedriveFilter(letter_ids=["aaa1", "bbb"]), {"failed": 1, "no_key": 1}),
        (RedriveFilter(retry=True), {"failed": 3, "no_key": 1}),
        (RedriveFilter(stage="sink-redis"), {}),
    ],
    ids=["all that are open", "by reason", "by stage", "by id", "those left sending too", "none"],
)
def test_open_letters_that_pass_every_filter_are_sent_back(wanted: RedriveFilter, reasons: dict[str, int]) -> None:
    assert RedriveSelection.of(wanted, RECORDS).reasons == reasons


def test_how_the_selected_letters_stand_is_counted_whether_or_not_they_are_sent_back() -> None:
    standings = RedriveSelection.of(RedriveFilter(stage="embed"), RECORDS).standings
    assert {standing.value: count for standing, count in standings.items()} == {"open": 2, "sending": 1, "sent": 1}


def test_ids_of_no_letter_are_missing() -> None:
    assert RedriveSelection.of(RedriveFilter(letter_ids=["aaa", "ccc"]), RECORDS).missing == {"ccc"}
