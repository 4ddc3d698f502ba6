from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.analysis.analyzer import Analyzer
from models.analysis.blazeface import Found
from models.analysis.detector import MIN_SCORE, Detection
from models.analysis.finder import FaceFinder, FoundFace
from models.analysis.landmarks import Landmarks
from models.analysis.views import Picture
from models.embedder.model import Model
from models.pictures.geometry import Pixels, Points
from schemas.embeddings import Face
from schemas.reasons import Reason
from tests.models.conftest import Photo
from tests.models.sample_pictures import encoded, opened

GREY = (120, 120, 120)
PHOTOS = ["obama", "obama2", "obama3", "obama_partial_face", "obama_partial_face2", "biden"]


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def portraits(photo: Photo) -> dict[str, Image.Image]:
    return {name: ImageOps.contain(opened(photo(name)), (360, 360)) for name in PHOTOS}


@pytest.fixture(scope="module")
def looks(finder: FaceFinder) -> Iterator[Callable[[Pixels], int]]:
    """How often the detector looks at a picture."""
    real = finder._detector._network
    count = 0

    def counted(shown: NDArray[np.float32], least: float, *, quickly: bool = False) -> Found:
        nonlocal count
        count += 1
        return real(shown, least, quickly=quickly)

    def looks(picture: Pixels) -> int:
        nonlocal count
        count = 0
        finder.find(picture)
        return count

    finder._detector._network = counted  # type: ignore[assignment]
    yield looks
    finder._detector._network = real


def seen(analyzer: Analyzer, picture: Image.Image, *, enrolment: bool = False) -> list[Face]:
    [analysis] = analyzer.analyze([encoded(picture, "PNG")], enrolment=enrolment)
    return analysis.faces


def points(face: Face) -> Points:
    return np.reshape(face.landmarks, (5, 2))


def distance(a: Face, b: Face) -> float:
    assert a.vector is not None, a.refusal
    assert b.vector is not None, b.refusal
    return float(np.linalg.norm(np.frombuffer(a.vector, "<f4") - np.frombuffer(b.vector, "<f4")))


def turned(picture: Image.Image, degrees: float) -> Image.Image:
    return picture.rotate(degrees, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=GREY)


def turned_points(where: Points, picture: Image.Image, degrees: float) -> Points:
    """Where points of a picture come to lie when it is turned."""
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    whole = np.array(turned(picture, degrees).size)
    return np.asarray((where - np.array(picture.size) / 2) @ rotation.T + whole / 2)


def around_face(finder: FaceFinder, picture: Image.Image, side: int) -> Image.Image:
    """The square around a face in which it measures 50 of so many pixels."""
    [face] = finder.find(np.asarray(picture))
    half = face.detection.size[0] * side / 100
    x, y = face.detection.center
    square = (round(x - half), round(y - half), round(x + half), round(y + half))
    return picture.crop(square).resize((130, 130), Image.Resampling.LANCZOS)


@pytest.mark.parametrize("name", ["obama2", "biden"])
@pytest.mark.parametrize("degrees", [*range(0, 360, 30), 45, 75, 105, 135, 225, 255, 285, 315])
def test_a_face_is_the_same_however_the_camera_hangs(
    analyzer: Analyzer, reference: Model, portraits: dict[str, Image.Image], name: str, degrees: int
) -> None:
    picture = portraits[name]
    [upright] = seen(analyzer, picture)
    [face] = seen(analyzer, turned(picture, degrees))
    assert distance(face, upright) < reference.card.threshold("fmr-1e-4") / 2
    expected = turned_points(points(upright), picture, degrees)
    assert np.abs(points(face) - expected).max() < 0.2 * upright.quality.size
    middle = expected.mean(0)
    assert face.box.x < middle[0] < face.box.x + face.box.width
    assert face.box.y < middle[1] < face.box.y + face.box.height


@pytest.mark.parametrize("degrees", [90, 120, 270])
def test_one_lies_beside_one_who_stands(analyzer: Analyzer, portraits: dict[str, Image.Image], degrees: int) -> None:
    frame = Image.new("RGB", (900, 480), GREY)
    frame.paste(portraits["obama"], (20, 60))
    frame.paste(turned(portraits["biden"], degrees), (400, 20))
    [obama], [biden] = seen(analyzer, portraits["obama"]), seen(analyzer, portraits["biden"])
    standing, lying = sorted(seen(analyzer, frame), key=lambda face: face.box.x)
    assert distance(standing, obama) < 0.2
    assert distance(lying, biden) < 0.3


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_small_face_on_its_side_in_a_large_frame(
    analyzer: Analyzer, reference: Model, portraits: dict[str, Image.Image], degrees: int
) -> None:
    small = ImageOps.contain(portraits["obama"], (160, 160))
    frame = Image.new("RGB", (1280, 720), GREY)
    frame.paste(turned(small, degrees), (500, 300))
    [upright], [face] = seen(analyzer, small), seen(analyzer, frame)
    assert distance(face, upright) < reference.card.threshold("fmr-1e-4")


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_an_enrolment_photo_that_lies_on_its_side_or_head(
    analyzer: Analyzer, portraits: dict[str, Image.Image], degrees: int
) -> None:
    picture = portraits["obama"]
    [upright] = seen(analyzer, picture, enrolment=True)
    [face] = seen(analyzer, turned(picture, degrees), enrolment=True)
    assert distance(face, upright) < 0.15
    expected = turned_points(points(upright), picture, degrees)
    assert np.abs(points(face) - expected).max() < 0.15 * upright.quality.size


def test_an_upright_face_takes_one_look_and_an_empty_frame_a_bounded_number(
    looks: Callable[[Pixels], int], portraits: dict[str, Image.Image]
) -> None:
    assert {name: looks(np.asarray(picture)) for name, picture in portraits.items() if "partial" not in name} == {
        "obama": 1,
        "obama2": 1,
        "obama3": 1,
        "biden": 1,
    }
    # Six looks at the upright picture, and one from each other side.
    assert looks(np.full((480, 640, 3), 90, np.uint8)) == 9
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[::16] = 255
    # One more at all hints, and one for each of the three best.
    assert looks(stripes) <= 13


def test_landmarks_of_a_doubtful_face_that_is_upright_are_found_once(
    finder: FaceFinder, portraits: dict[str, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, places = np.asarray(portraits["obama"]), list[Points]()
    [seen] = [one for one in finder._detector.detect(Picture(pixels)) if one.score >= MIN_SCORE]
    real = finder._mesh.find

    def counted(picture: Pixels, eyes_and_mouth: Points) -> Landmarks:
        places.append(eyes_and_mouth)
        return real(picture, eyes_and_mouth)

    monkeypatch.setattr(finder._mesh, "find", counted)
    monkeypatch.setattr(finder._detector, "detect", lambda picture: [replace(seen, score=0.5)])
    [face] = finder.find(pixels)
    assert (face.detection.quarters, len(places)) == (0, 1)


@pytest.mark.parametrize(("tile", "shown"), [(48, 90), (64, 90), (150, 90), (90, 130)])
def test_in_a_crowd_everybody_is_found_once(
    finder: FaceFinder, portraits: dict[str, Image.Image], tile: int, shown: int
) -> None:
    """120 faces side by side, each a little different; the smallest have eyes 10 pixels apart."""
    columns, rows = 12, 10
    people = [around_face(finder, portraits[name], shown) for name in ("obama", "obama3", "biden")]
    crowd = Image.new("RGB", (columns * tile, rows * tile), GREY)
    for index in range(columns * rows):
        person = people[index % len(people)]
        person = ImageOps.mirror(person) if index % 2 else person
        person = person.rotate(index % 7 * 6 - 18, resample=Image.Resampling.BICUBIC, fillcolor=GREY)
        place = (index % columns * tile, index // columns * tile)
        crowd.paste(person.resize((tile, tile), Image.Resampling.LANCZOS), place)
    found = finder.find(np.asarray(crowd))
    tiles = [tuple((face.landmarks.points.mean(0) // tile).astype(int)) for face in found]
    assert len(tiles) == len(set(tiles))
    assert len(found) == columns * rows
    sizes = [np.prod(face.detection.size) for face in found]
    assert all(larger >= smaller for larger, smaller in pairwise(sizes))


def made(*, score: float = 0.6, presence: float = 1.0, off: float = 0.0) -> FoundFace:
    """A face with eyes 40 pixels apart; the detector sees all points so much too high, by the distance of the eyes."""
    mesh = np.array([[150, 100], [130, 100], [90, 100], [110, 100], [120, 130]], np.float64)
    detector = np.array([[100, 100], [140, 100], [120, 130], [120, 150], [80, 110], [160, 110]]) - (0.0, 40 * off)
    return FoundFace(Detection(score, (120, 120), (100, 100), detector), Landmarks(mesh, mesh, presence, 0.0))


@pytest.mark.parametrize(
    ("face", "reliable"),
    [
        (made(), True),
        (made(presence=0.75), False),
        (made(off=0.3), True),
        (made(off=0.5), False),
        (made(off=0.5, score=0.8), True),
    ],
)
def test_landmarks_that_detector_and_mesh_see_elsewhere_are_not_relied_on(face: FoundFace, reliable: bool) -> None:
    assert face.is_reliable is reliable


def test_what_cannot_be_relied_on_is_refused_with_a_reason(
    analyzer: Analyzer, portraits: dict[str, Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = analyzer._finder._mesh.find

    def unsure(picture: Pixels, eyes_and_mouth: Points) -> Landmarks:
        landmarks = real(picture, eyes_and_mouth)
        return replace(landmarks, presence=0.6)

    monkeypatch.setattr(analyzer._finder._mesh, "find", unsure)
    [probe] = seen(analyzer, portraits["obama"])
    assert (probe.refusal, probe.vector) == (Reason.TURNED_AWAY, None)
