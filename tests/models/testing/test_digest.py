from __future__ import annotations

import numpy as np

from models.analysis.face_analysis import FaceAnalyzer
from models.testing.digest import DigestAnalyzer
from schemas.parts import Refusal
from schemas.reasons import Reason


def vectors(*pictures: bytes) -> np.ndarray:
    return np.array([np.frombuffer(a.faces[0].vector or b"", "<f4") for a in DigestAnalyzer().analyze(pictures)])


def test_equal_pictures_match_and_others_do_not() -> None:
    made = vectors(*(f"picture {number}".encode() for number in range(200)))
    apart = np.linalg.norm(made[:, None] - made[None], axis=2)
    assert apart[~np.eye(200, dtype=bool)].min() > 1
    assert np.array_equal(made[:1], vectors(b"picture 0"))


def test_it_answers_like_any_analyzer() -> None:
    analyzer: FaceAnalyzer = DigestAnalyzer()
    given = Refusal(Reason.URI_UNREADABLE, "nothing there")
    found = analyzer.analyze([b"", given, b"x"], enrolment=True)
    assert [analysis.refusal.reason if analysis.refusal else None for analysis in found] == [
        Reason.EMPTY_PICTURE,
        Reason.URI_UNREADABLE,
        None,
    ]
