from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.embedder.card import Card, ChipGeometry, Output
from models.matching.decision import Probes, decide, similar_subject
from models.matching.gallery import Embedded, Gallery, MixedVersions
from schemas.clock import utc_now
from schemas.embeddings import Embedding, Face, FrameOrigin, OtherVector
from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.parts import Box, Decision, Quality, Source, Timings
from schemas.reasons import Reason
from schemas.results import MatchedFace

CARD = Card(
    version="plane",
    chip=ChipGeometry(size=150, padding=0.25),
    output=Output(dimensions=2, metric="euclidean"),
    fmr_curve=((0.1, 1e-7), (0.5, 1e-3), (1.0, 0.5), (2.0, 1.0)),
    thresholds={"usual": 0.5, "strict": 0.2},
    default_threshold="usual",
)


def face(x: float, y: float) -> Face:
    quality = Quality(1, 60, 100, 0.5, 0, 1)
    return Face(Box(x, y, 1, 1), [0.0] * 10, quality, vector=np.array([x, y], "<f4").tobytes())


def refused_face() -> Face:
    return Face(Box(0, 0, 1, 1), [0.0] * 10, Quality(1, 4, 100, 0.5, 0, 0), refusal=Reason.TOO_SMALL)


def gallery(**templates: tuple[float, float]) -> Gallery:
    made = Gallery("plane", 2)
    for name, place in templates.items():
        made.put("u", name, f"template of {name}", Embedded("plane", np.array(place, np.float32)))
    return made


def probes(*faces: Face, version: str = "plane") -> Probes:
    return Probes(version, faces, [face.vector for face in faces])


def identify(made: Gallery, *faces: Face, threshold: float | None = None, candidates: int = 5) -> list[MatchedFace]:
    return decide(
        probes(*faces), made, CARD, user_id="u", mode=Mode.IDENTIFY, threshold=threshold, candidates=candidates
    )


def verify(made: Gallery, subject: str, *faces: Face) -> list[MatchedFace]:
    return decide(probes(*faces), made, CARD, user_id="u", mode=Mode.VERIFY, subject_id=subject)


def test_the_nearest_subject_within_the_threshold_is_named() -> None:
    [answer] = identify(gallery(ann=(0, 0), bob=(1, 0)), face(0.2, 0))
    assert (answer.decision, answer.subject_id, answer.reason) == (Decision.MATCH, "ann", None)
    assert [candidate.subject_id for candidate in answer.candidates] == ["ann", "bob"]
    assert answer.candidates[0].distance == pytest.approx(0.2)
    assert answer.candidates[0].similarity == pytest.approx(0.8)
    assert answer.candidates[0].fmr == pytest.approx(CARD.fmr(0.2))


def test_a_stranger_is_unknown_and_still_has_candidates() -> None:
    [answer] = identify(gallery(ann=(0, 0), bob=(1, 0)), face(0, 0.6), candidates=1)
    assert (answer.decision, answer.subject_id) == (Decision.UNKNOWN, None)
    assert [candidate.subject_id for candidate in answer.candidates] == ["ann"]


def test_the_threshold_is_the_callers() -> None:
    [answer] = identify(gallery(ann=(0, 0)), face(0.3, 0), threshold=CARD.threshold("strict"))
    assert answer.decision is Decision.UNKNOWN


def test_of_two_faces_nearest_to_one_subject_the_farther_is_unknown() -> None:
    near, far = identify(gallery(ann=(0, 0), bob=(0, 0.9)), face(0.1, 0), face(0, 0.44))
    assert (near.decision, near.subject_id) == (Decision.MATCH, "ann")
    assert (far.decision, far.subject_id) == (Decision.UNKNOWN, None)
    assert far.candidates[0].subject_id == "ann"


def test_a_mirror_or_a_poster_is_named_too_if_it_is_near_enough() -> None:
    answers = identify(gallery(ann=(0, 0)), face(0.1, 0), face(0.25, 0), face(0.1, 0))
    assert [answer.subject_id for answer in answers] == ["ann", "ann", "ann"]


def test_refused_faces_keep_their_place_and_reason() -> None:
    answers = identify(gallery(ann=(0, 0)), refused_face(), face(0, 0), refused_face())
    assert [answer.decision for answer in answers] == [Decision.REFUSED, Decision.MATCH, Decision.REFUSED]
    assert answers[0].reason == Reason.TOO_SMALL
    assert not answers[0].candidates


def test_an_empty_gallery() -> None:
    [answer] = identify(Gallery("plane", 2), face(0, 0))
    assert (answer.decision, answer.reason) == (Decision.UNKNOWN, Reason.EMPTY_GALLERY)


def test_no_faces_no_answers() -> None:
    assert identify(gallery(ann=(0, 0))) == []


@pytest.mark.parametrize(
    ("second", "ambiguous"),
    [
        ((0.1, 0), True),  # a tie
        ((0.35, 0), True),  # surely somebody too, though farther
        ((0.41, 0), False),  # within the threshold, but farther and not surely
        ((1.0, 0), False),
    ],
)
def test_a_second_subject_that_is_as_near_is_told_of(second: tuple[float, float], ambiguous: bool) -> None:
    """The threshold is 0.5; at 0.3 it is somebody at a hundredth of its false-match rate."""
    made = gallery(ann=(0.1, 0), bob=second)
    for candidates in (1, 5):
        [answer] = identify(made, face(0.1, 0), candidates=candidates)
        assert (answer.decision, answer.subject_id, answer.ambiguous) == (Decision.MATCH, "ann", ambiguous)
        assert len(answer.candidates) == min(candidates, 2)


def test_two_subjects_that_are_hardly_near_but_tied_are_told_of() -> None:
    made = gallery(ann=(0.44, 0), bob=(-0.46, 0))
    [answer] = identify(made, face(0, 0))
    assert (answer.subject_id, answer.ambiguous) == ("ann", True)
    [answer] = identify(gallery(ann=(0.35, 0), bob=(-0.46, 0)), face(0, 0))
    assert (answer.subject_id, answer.ambiguous) == ("ann", False)


def test_who_was_not_named_is_not_ambiguous() -> None:
    made = gallery(ann=(0, 0), bob=(0, 0))
    [answer] = identify(made, face(0, 0.6))
    assert (answer.decision, answer.ambiguous) == (Decision.UNKNOWN, False)
    assert not any(answer.ambiguous for answer in verify(made, "ann", face(0, 0), face(0, 0.6)))


def test_an_enrolment_tells_of_another_subject_who_would_surely_be_recognised() -> None:
    made = gallery(ann=(0, 0), bob=(0.2, 0), carl=(0.9, 0))

    def like(subject_id: str, x: float) -> str | None:
        return similar_subject(made, CARD, "u", subject_id, Embedded("plane", np.array((x, 0), np.float32)), 0.5)

    assert like("ann", 0) == "bob"
    assert like("bob", 0.2) == "ann"
    assert like("dora", 0.01) == "ann"
    assert like("carl", 0.9) is None
    assert like("ann", 0.55) is None, "bob is within the threshold, but not surely"
    empty, probe = Gallery("plane", 2), Embedded("plane", np.zeros(2, np.float32))
    assert similar_subject(empty, CARD, "u", "ann", probe, 0.5) is None


def test_verify_compares_with_the_claimed_subject_alone() -> None:
    made = gallery(ann=(0, 0), bob=(0.1, 0))
    near, far = verify(made, "ann", face(0.1, 0), face(0.9, 0))
    assert (near.decision, near.subject_id) == (Decision.MATCH, "ann")
    assert (far.decision, far.subject_id) == (Decision.NO_MATCH, None)
    assert [candidate.subject_id for candidate in far.candidates] == ["ann"]


@pytest.mark.parametrize("made", [Gallery("plane", 2), gallery(bob=(0, 0))])
def test_verify_of_a_subject_that_is_not_enrolled(made: Gallery) -> None:
    [answer] = verify(made, "ann", face(0, 0))
    assert (answer.decision, answer.reason) == (Decision.NO_MATCH, Reason.SUBJECT_NOT_ENROLLED)


def test_verify_needs_a_claim() -> None:
    with pytest.raises(ValueError, match="subject_id"):
        decide(probes(face(0, 0)), Gallery("plane", 2), CARD, user_id="u", mode=Mode.VERIFY)


@pytest.mark.parametrize(("probe", "stored"), [("plane", "sphere"), ("sphere", "plane"), ("sphere", "sphere")])
def test_two_versions_are_never_compared(probe: str, stored: str) -> None:
    made = Gallery(stored, 2)
    made.put("u", "ann", "t", Embedded(stored, np.zeros(2, np.float32)))
    for mode in Mode:
        with pytest.raises(MixedVersions):
            decide(probes(face(0, 0), version=probe), made, CARD, user_id="u", mode=mode, subject_id="ann")


def test_of_a_picture_embedded_by_several_versions_each_is_asked_with_its_own_vectors() -> None:
    both = dataclasses.replace(face(0, 0), others=[OtherVector("sphere", face(1, 1).vector or b"")])
    now = utc_now()
    picture = Embedding(
        event_id=new_event_id(),
        user_id="u",
        origin=FrameOrigin("door", 0, now, Mode.IDENTIFY),
        source=Source("frames", 0, 0),
        model_version="plane",
        width=640,
        height=480,
        timings=Timings(now, now, now),
        faces=[both, refused_face()],
    )
    assert Probes.of(picture, "plane").vectors == [both.vector, None]
    assert Probes.of(picture, "sphere").vectors == [both.others[0].vector, None]
    assert Probes.of(picture, "unknown").vectors == [None, None]
