"""A person corrects a match: from the frame over the feedback to the analysts' view, and to what is learned from."""

from __future__ import annotations

from pathlib import Path

from models.embedder.card import Card
from models.embedder.references import ACCURATE
from schemas.clock import utc_now
from schemas.ingest import Consent
from schemas.learning import Statement
from streams.devtools.local_stack import Stack
from streams.feedback.submit import submit
from streams.training_data.training_set import read_training_set
from tests.integration.clients import Clients, Json, eventually, facestream
from tests.integration.conftest import Portraits


def test_a_confirmed_match_is_a_face_to_learn_from_and_a_row_each(
    stack: Stack, clients: Clients, user: str, portraits: Portraits, tmp_path: Path
) -> None:
    agreed = Consent("tests", utc_now(), training=True)
    upload = clients.producer.enrol(user, portraits.obama, subject_id="obama", consent=agreed)
    assert clients.answer(upload.event_id)["outcome"] == "enrolled"
    frames = [clients.producer.frame(user, one, camera_id="door") for one in (portraits.obama2, portraits.biden)]
    clients.answers([frame.event_id for frame in frames])
    right, wrong = (frame.event_id for frame in frames)
    facestream(stack.environment(), tmp_path, "feedback", right, "--subject", "obama", "--training")
    submit(stack.settings, wrong, Statement.IS_NOT, "obama", training=True)

    def rows() -> dict[str, Json]:
        found = clients.query("SELECT * FROM corrected_matches WHERE user_id = @user", user=user)
        return {row["event_id"]: row for row in found} if len(found) == 2 else {}

    corrected = eventually(rows, "the feedback is in BigQuery, and the matches too")
    assert [corrected[one]["was_right"] for one in (right, wrong)] == [True, True]
    assert corrected[right]["true_subject_id"] == "obama"
    read = read_training_set(stack.settings, Card.read(ACCURATE).chip)
    mine = {sample.event_id: sample.groups for sample in read.samples if sample.user_id == user}
    assert mine == {upload.event_id: {}, f"{right}/0": {"camera": "door"}}
    assert [one.event_id for one in read.corrections if one.user_id == user] == [f"{wrong}/0"]
