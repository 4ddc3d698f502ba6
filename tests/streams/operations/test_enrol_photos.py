"""Which photos of a folder are enrolled, and what is said of each in the end."""

from __future__ import annotations

from pathlib import Path

from infra.photos import sample_photos
from streams.operations.enrol_photos import Photo, PhotosOfPeople, with_outcome

SENT = Photo("a.jpg", "anna", event_id="1")


def test_each_folder_is_a_person(tmp_path: Path) -> None:
    picture = (sample_photos() / "obama.jpg").read_bytes()
    for name in ("anna/1.jpg", "anna/2.jpg", "otto/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture)
    (tmp_path / "nobody").mkdir()
    (tmp_path / "otto/._1.jpg").write_bytes(b"what a Mac leaves on a share")
    chosen = PhotosOfPeople.below(tmp_path)
    assert [(Path(one.photo).name, one.subject_id, one.outcome) for one in chosen.photos] == [
        ("1.jpg", "anna", "sent"),
        ("2.jpg", "anna", "sent"),
        ("1.jpg", "otto", "sent"),
    ]
    assert (chosen.people, chosen.empty) == (3, [tmp_path / "nobody"])
    assert len(chosen.found.left_out) == 1


def test_an_enrolment_says_what_came_of_a_photo() -> None:
    enrolled = with_outcome(SENT, {"outcome": "enrolled", "refusal": None, "detail": "enrolled already"})
    assert (enrolled.outcome, enrolled.reason, enrolled.detail) == ("enrolled", None, "enrolled already")
    similar = with_outcome(SENT, {"outcome": "enrolled", "refusal": None, "similar_subject_id": "anne"})
    assert (similar.outcome, similar.similar_subject_id) == ("enrolled", "anne")
    refusal = {"reason": "no_face", "detail": "no face was found"}
    refused = with_outcome(SENT, {"outcome": "refused", "refusal": refusal})
    assert (refused.outcome, refused.reason, refused.detail) == ("refused", "no_face", "no face was found")


def test_without_an_enrolment_the_time_is_over() -> None:
    assert with_outcome(SENT, None).outcome == "timed_out"
