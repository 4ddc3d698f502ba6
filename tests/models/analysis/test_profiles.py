from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageOps

from models.analysis.analyzer import Analyzer
from models.analysis.finder import FaceFinder
from models.analysis.profiles import ProfileFinder, SideView
from models.analysis.views import Picture
from models.analysis.yunet import YuNet
from models.embedder import runtime
from models.embedder.card import Card
from models.embedder.model import Model
from models.embedder.references import ACCURATE
from models.pictures.geometry import Pixels
from schemas.reasons import Reason
from tests.models.analysis.side_views import from_the_side
from tests.models.conftest import Photo
from tests.models.sample_pictures import encoded, opened


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    made = FaceFinder()
    if made._profiles is None:
        pytest.skip("OpenVINO is not installed")
    return made


@pytest.fixture(scope="module")
def network() -> YuNet:
    if (found := YuNet.load()) is None:
        pytest.skip("OpenVINO is not installed")
    return found


def drawn(finder: FaceFinder, photo: Photo, name: str, degrees: float) -> Pixels:
    """A photograph turned aside; a name with a minus is mirrored first."""
    picture = opened(photo(name.removeprefix("-")))
    return from_the_side(finder, ImageOps.mirror(picture) if name.startswith("-") else picture, degrees)


SIDES = [("obama2", 70), ("obama2", 80), ("-obama", 90), ("-biden", 80)]


@pytest.mark.parametrize(("name", "degrees"), SIDES)
def test_a_face_seen_from_the_side_is_found(finder: FaceFinder, photo: Photo, name: str, degrees: float) -> None:
    pixels = drawn(finder, photo, name, degrees)
    [face] = finder.find(pixels)
    assert (face.is_profile, face.is_reliable) == (True, False)
    assert -90 <= face.landmarks.yaw < -60
    painted = np.argwhere(np.abs(pixels.astype(int) - 110).max(2) > 20)
    (top, left), (bottom, right) = painted.min(0), painted.max(0)
    assert left < face.detection.center[0] < right
    assert top < face.detection.center[1] < bottom
    [mirrored] = finder.find(np.ascontiguousarray(pixels[:, ::-1]))
    assert mirrored.landmarks.yaw == pytest.approx(-face.landmarks.yaw, abs=15)


@pytest.mark.parametrize("enrolment", [False, True])
def test_it_is_refused_as_turned_away(finder: FaceFinder, analyzer: Analyzer, photo: Photo, enrolment: bool) -> None:
    picture = encoded(Image.fromarray(drawn(finder, photo, "obama2", 80)), "PNG")
    [analysis] = analyzer.analyze([picture], enrolment=enrolment)
    [face] = analysis.faces
    assert (face.refusal, face.vector, face.quality.covered) == (Reason.TURNED_AWAY, None, None)
    assert face.quality.overall < 0.5
    assert (analysis.refusal.reason if analysis.refusal else None) == (Reason.TURNED_AWAY if enrolment else None)


def test_beside_somebody_who_looks_into_the_camera(finder: FaceFinder, photo: Photo) -> None:
    frame = np.full((480, 1000, 3), 110, np.uint8)
    frame[:, :640] = drawn(finder, photo, "obama2", 80)
    portrait = np.asarray(ImageOps.contain(opened(photo("biden")), (340, 400)))
    frame[20 : 20 + portrait.shape[0], 640 : 640 + portrait.shape[1]] = portrait
    faces = finder.find(frame)
    assert sorted((face.detection.center[0] > 640, face.is_profile) for face in faces) == [(False, True), (True, False)]


def test_where_the_detector_sees_nothing_the_whole_picture_is_searched(
    finder: FaceFinder, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = drawn(finder, photo, "obama2", 70)
    monkeypatch.setattr(finder._detector, "detect", lambda picture: [])
    monkeypatch.setattr(finder._detector, "detect_turned", lambda picture: [])
    [face] = finder.find(pixels)
    assert face.is_profile


def test_a_profile_is_seen_twice_before_it_counts(finder: FaceFinder, network: YuNet, photo: Photo) -> None:
    """A network that sees a face in the whole picture only finds none: a dog's head is one at one scale."""
    pixels = drawn(finder, photo, "obama2", 70)
    assert len(ProfileFinder(network).anywhere(Picture(pixels))) == 1

    def from_afar(shown: np.ndarray, least: float) -> np.ndarray:
        return network(shown, least)[: None if shown.shape[1] == 320 else 0]

    assert ProfileFinder(from_afar).anywhere(Picture(pixels)) == []  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def accurate() -> Iterator[Analyzer]:
    made = Analyzer(Model.load(ACCURATE), threads=1)
    yield made
    made.close()


@pytest.mark.parametrize("roll", [0, 180])
@pytest.mark.parametrize(("name", "person"), [("obama2", "obama"), ("-obama3", "obama"), ("-biden", "biden")])
def test_a_face_that_is_turned_aside_is_recognised(
    finder: FaceFinder, accurate: Analyzer, photo: Photo, name: str, person: str, roll: int
) -> None:
    """With the mesh's points, the distances were 1.17 to 1.34."""
    frame = Image.fromarray(drawn(finder, photo, name, 50)).rotate(
        roll, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=(110, 110, 110)
    )
    portrait, turned = accurate.analyze([photo(person), encoded(frame, "PNG")])
    [face] = turned.faces
    assert abs(face.quality.yaw) > 25
    assert face.vector is not None, face.refusal
    known = portrait.faces[0].vector
    assert known is not None
    a, b = (np.frombuffer(one, "<f4") / np.linalg.norm(np.frombuffer(one, "<f4")) for one in (face.vector, known))
    assert np.linalg.norm(a - b) < Card.read(ACCURATE).threshold("fmr-1e-3")


def side_view(apart: float, *, score: float = 0.9, nose: float = 0.5) -> SideView:
    """Eyes that are so far apart, and a nose so far to the left, by the distance of eyes and mouth."""
    points = np.array([[50 - 20 * apart, 50], [50 + 20 * apart, 50], [50 - 40 * nose, 70], [45, 90], [55, 90]])
    return SideView(score, np.array([50.0, 70.0]), np.array([60.0, 90.0]), points)


@pytest.mark.parametrize(
    ("seen", "is_profile"),
    [
        (side_view(0.2), True),
        (side_view(-0.2), True),
        (side_view(0.6), False),
        (side_view(-0.9), False),
        (side_view(0.2, score=0.65), False),
    ],
)
def test_only_eyes_that_lie_close_together_make_a_profile(seen: SideView, is_profile: bool) -> None:
    assert seen.is_profile is is_profile


def test_yaw_and_landmarks_follow_from_the_five_points() -> None:
    assert side_view(1.02, nose=0).yaw == pytest.approx(0, abs=1)
    assert side_view(0.51).yaw == pytest.approx(-60, abs=1)
    assert side_view(0.51, nose=-0.5).yaw == pytest.approx(60, abs=1)
    assert side_view(-0.1).yaw == -90
    landmarks = side_view(0.1).landmarks
    np.testing.assert_allclose(landmarks.points[:4].mean(0), (50, 50), atol=1)
    assert landmarks.eyes_apart == pytest.approx(36, abs=2), "as far apart as they are, not as they look"
    turned = dataclasses.replace(side_view(0.1), points=side_view(0.1).points @ [[0, 1], [-1, 0]])
    assert turned.eyes_apart == pytest.approx(0.1)


def test_without_openvino_there_are_no_profiles(
    finder: FaceFinder, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = drawn(finder, photo, "obama2", 80)
    monkeypatch.setattr(runtime, "openvino", lambda: None)
    without = FaceFinder()
    without.warm_up()
    assert without.find(pixels) == []


def test_noise_and_drawings_have_no_profile(finder: FaceFinder) -> None:
    random = np.random.default_rng(4)
    for size in (4, 8, 16, 32, 60):
        coarse = Image.fromarray(random.integers(0, 256, (480 // size, 640 // size, 3), np.uint8))
        assert finder.find(np.asarray(coarse.resize((640, 480), Image.Resampling.BICUBIC))) == []
