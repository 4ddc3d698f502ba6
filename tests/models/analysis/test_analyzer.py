from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageFilter

from models.analysis.analyzer import Analyzer
from models.analysis.face_analysis import Analysis
from models.embedder.model import Model
from schemas.embeddings import Face
from schemas.parts import Refusal
from schemas.reasons import Reason
from tests.models.conftest import Photo
from tests.models.sample_pictures import encoded, huge_png, jpeg, opened, rotated_by_exif, sheet

BLANK = jpeg(np.full((480, 640, 3), 90, np.uint8))


def one(analyzer: Analyzer, picture: bytes | Image.Image, *, enrolment: bool = False) -> Analysis:
    data = encoded(picture, "PNG") if isinstance(picture, Image.Image) else picture
    [analysis] = analyzer.analyze([data], enrolment=enrolment)
    return analysis


def vector(face: Face) -> np.ndarray:
    assert face.vector is not None, face.refusal
    return np.frombuffer(face.vector, "<f4")


def apart(a: Face, b: Face) -> float:
    return float(np.linalg.norm(vector(a) - vector(b)))


@pytest.fixture(scope="module")
def obama(photo: Photo) -> Image.Image:
    return opened(photo("obama"))


def test_one_person_is_near_and_two_are_not(analyzer: Analyzer, reference: Model, photo: Photo) -> None:
    names = ["obama", "obama2", "obama3", "obama_partial_face", "obama_partial_face2", "biden"]
    analyses = analyzer.analyze([photo(name) for name in names])
    assert [len(analysis.faces) for analysis in analyses] == [1] * 6
    *same, other = [analysis.faces[0] for analysis in analyses]
    assert max(apart(a, b) for a in same for b in same) < reference.card.threshold("fmr-1e-2")
    assert min(apart(face, other) for face in same) > 0.7


def test_what_is_said_of_a_face(analyzer: Analyzer, photo: Photo) -> None:
    analysis = one(analyzer, photo("obama"))
    [face] = analysis.faces
    assert (analysis.width, analysis.height, analysis.refusal) == (910, 1137, None)
    left_outer, left_inner, right_outer, right_inner, nose = np.reshape(face.landmarks, (5, 2))
    assert right_outer[0] < right_inner[0] < nose[0] < left_inner[0] < left_outer[0]
    assert max(left_outer[1], right_outer[1]) < nose[1]
    assert face.box.x < right_outer[0]
    assert left_outer[0] < face.box.x + face.box.width
    quality = face.quality
    assert quality.size == pytest.approx(107, abs=5)
    assert quality.score > 0.7
    assert abs(quality.yaw) < 10
    assert quality.overall > 0.9
    assert analysis.chips[0] is not None
    assert analysis.chips[0].shape == (150, 150, 3)
    assert min(analysis.decode_ms, analysis.detect_ms, analysis.align_ms, analysis.embed_ms) > 0


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_on_its_side_gives_the_same_face(analyzer: Analyzer, obama: Image.Image, orientation: int) -> None:
    analysis = one(analyzer, rotated_by_exif(obama, orientation))
    assert (analysis.width, analysis.height) == obama.size
    assert apart(analysis.faces[0], one(analyzer, obama).faces[0]) < 0.1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: image.convert("CMYK").convert("RGB"), id="CMYK"),
        pytest.param(lambda image: image.convert("L"), id="grey"),
        pytest.param(lambda image: image.quantize(256), id="palette"),
        pytest.param(lambda image: image.convert("RGBA"), id="alpha"),
        pytest.param(lambda image: image.rotate(20, expand=True), id="20 degrees"),
        pytest.param(lambda image: image.rotate(-20, expand=True), id="-20 degrees"),
        pytest.param(lambda image: image.point(lambda level: level // 4), id="dark"),
        pytest.param(lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), id="mirrored"),
        pytest.param(lambda image: image.resize((240, 300)), id="small"),
        pytest.param(lambda image: image.resize((2730, 3411)), id="large"),
        pytest.param(lambda image: image.crop((300, 150, 620, 560)), id="nothing but the face"),
    ],
)
def test_a_changed_picture_is_still_the_person(
    analyzer: Analyzer, obama: Image.Image, change: object, reference: Model
) -> None:
    assert callable(change)
    analysis = one(analyzer, change(obama), enrolment=True)
    assert analysis.refusal is None
    assert apart(analysis.faces[0], one(analyzer, obama).faces[0]) < reference.card.threshold("fmr-1e-4")


def test_a_very_large_jpeg_is_measured_in_its_own_pixels(analyzer: Analyzer, obama: Image.Image) -> None:
    large = one(analyzer, encoded(obama.resize((3640, 4548)), "JPEG", quality=90))
    [face], [small] = large.faces, one(analyzer, obama).faces
    assert (large.width, large.height) == (3640, 4548)
    assert face.quality.size == pytest.approx(4 * small.quality.size, rel=0.03)
    assert np.allclose(face.landmarks, 4 * np.array(small.landmarks), atol=30)


def test_forty_faces(analyzer: Analyzer, obama: Image.Image) -> None:
    picture = sheet(obama.crop((200, 50, 720, 700)), 8, 5, 160)
    analysis = one(analyzer, encoded(picture, "JPEG", quality=90))
    assert len(analysis.faces) == 40
    assert max(apart(face, analysis.faces[0]) for face in analysis.faces) < 0.4


def test_faces_come_largest_first(analyzer: Analyzer, obama: Image.Image, photo: Photo) -> None:
    picture = Image.new("RGB", (900, 600), "grey")
    picture.paste(opened(photo("biden")).resize((150, 340)), (30, 100))
    picture.paste(obama.resize((480, 600)), (400, 0))
    first, second = one(analyzer, picture).faces
    assert first.box.width > second.box.width
    assert first.box.x > second.box.x


def test_a_face_of_which_half_is_outside_the_picture(analyzer: Analyzer, obama: Image.Image) -> None:
    (face,) = one(analyzer, obama).faces
    middle = round(face.landmarks[8])
    cut = one(analyzer, obama.crop((middle, 0, obama.width, obama.height)))
    assert [half.refusal for half in cut.faces] in ([], [Reason.CUT_OFF])


def test_two_people_on_an_enrolment_photo(analyzer: Analyzer, obama: Image.Image, photo: Photo) -> None:
    picture = Image.new("RGB", (900, 560), "grey")
    picture.paste(obama.resize((440, 550)), (0, 0))
    picture.paste(opened(photo("obama2")).resize((290, 555)), (500, 0))
    refusal = one(analyzer, picture, enrolment=True).refusal
    assert refusal is not None
    assert refusal.reason == Reason.SEVERAL_FACES
    assert one(analyzer, picture).refusal is None


def test_a_bystander_far_behind_does_not_spoil_an_enrolment_photo(analyzer: Analyzer, obama: Image.Image) -> None:
    picture = Image.new("RGB", (1137, 1137), "grey")
    picture.paste(obama, (0, 0))
    picture.paste(obama.resize((182, 227)), (930, 300))
    analysis = one(analyzer, picture, enrolment=True)
    assert len(analysis.faces) == 2
    assert analysis.refusal is None
    assert apart(analysis.faces[0], one(analyzer, obama).faces[0]) < 0.2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda image: image.filter(ImageFilter.GaussianBlur(11)), Reason.TOO_BLURRED),
        (lambda image: image.point(lambda level: level // 24), Reason.TOO_DARK),
        (lambda image: image.point(lambda level: 255 - (255 - level) // 14), Reason.TOO_BRIGHT),
        (lambda image: image.resize((64, 80)), Reason.TOO_SMALL),
    ],
)
def test_a_poor_face_is_refused_rather_than_guessed(
    analyzer: Analyzer, obama: Image.Image, change: object, reason: Reason
) -> None:
    assert callable(change)
    picture = change(obama)
    probe, upload = one(analyzer, picture), one(analyzer, picture, enrolment=True)
    assert (probe.refusal, probe.faces[0].refusal, probe.faces[0].vector) == (None, reason, None)
    assert probe.chips == [None]
    assert upload.refusal is not None
    assert upload.refusal.reason == reason


def test_templates_must_be_better_than_probes(analyzer: Analyzer, obama: Image.Image) -> None:
    small = obama.resize((114, 142))
    assert one(analyzer, small).faces[0].refusal is None
    assert one(analyzer, small, enrolment=True).faces[0].refusal == Reason.TOO_SMALL
    mixed = analyzer.analyze([encoded(small, "PNG")] * 2, enrolment=[True, False])
    assert [analysis.faces[0].refusal for analysis in mixed] == [Reason.TOO_SMALL, None]


def test_a_bad_picture_does_not_touch_its_neighbours(analyzer: Analyzer, photo: Photo) -> None:
    given = Refusal(Reason.URI_UNREADABLE, "nothing there")
    good = photo("obama")
    pictures = [good, b"", b"text", given, good[: len(good) // 2], huge_png(30_000), BLANK, bytes(10_000_001), good]
    analyses = analyzer.analyze(pictures)
    assert [analysis.refusal.reason if analysis.refusal else None for analysis in analyses] == [
        None,
        Reason.EMPTY_PICTURE,
        Reason.UNDECODABLE,
        Reason.URI_UNREADABLE,
        Reason.UNDECODABLE,
        Reason.TOO_MANY_PIXELS,
        Reason.NO_FACE,
        Reason.PICTURE_TOO_LARGE,
        None,
    ]
    assert analyses[3].refusal is given
    assert apart(analyses[0].faces[0], analyses[8].faces[0]) < 1e-5
    assert (analyses[6].width, analyses[6].height, analyses[6].faces) == (640, 480, [])


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (40_000, 3), (33_000, 200)])
def test_odd_shapes(analyzer: Analyzer, size: tuple[int, int]) -> None:
    refusal = one(analyzer, Image.new("RGB", size, "grey")).refusal
    assert refusal is not None
    assert refusal.reason == Reason.NO_FACE


def test_a_face_in_a_picture_wider_than_opencv_can_warp(analyzer: Analyzer, obama: Image.Image) -> None:
    picture = Image.new("RGB", (33_000, 1137), "grey")
    picture.paste(obama, (20_000, 0))
    analysis = one(analyzer, picture)
    assert analysis.refusal is None or analysis.refusal.reason == Reason.NO_FACE
    # The decoder reduces the picture to 3,000 pixels, and the face to 25.
    assert {face.refusal for face in analysis.faces} <= {Reason.TOO_SMALL, Reason.TOO_BLURRED}


def test_no_pictures(analyzer: Analyzer) -> None:
    assert analyzer.analyze([]) == []


class _Breaks:
    """A finder that stumbles over one picture."""

    def __init__(self, real: object, width: int) -> None:
        self.real, self.width = real, width

    def find(self, picture: np.ndarray) -> list[object]:
        if picture.shape[1] == self.width:
            raise ArithmeticError("nobody foresaw this")
        return self.real.find(picture)  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def breaking(reference: Model) -> Iterator[Analyzer]:
    analyzer = Analyzer(reference, threads=2)
    analyzer._finder = _Breaks(analyzer._finder, 640)  # type: ignore[assignment]
    yield analyzer
    analyzer.close()


def test_what_nobody_foresaw_is_a_refusal_too(breaking: Analyzer, photo: Photo) -> None:
    bad, good = breaking.analyze([BLANK, photo("obama")])
    assert bad.refusal is not None
    assert bad.refusal.reason == Reason.FAILED
    assert "nobody foresaw this" in bad.refusal.detail
    assert good.faces[0].vector is not None


def test_threads_of_a_caller_do_not_mix_up_answers(analyzer: Analyzer, photo: Photo) -> None:
    from concurrent.futures import ThreadPoolExecutor

    names = ["obama", "biden", "obama2"] * 4
    expected = {name: one(analyzer, photo(name)).faces[0] for name in set(names)}
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda name: one(analyzer, photo(name)).faces[0], names)
    assert all(apart(face, expected[name]) < 1e-4 for name, face in zip(names, found, strict=True))


def test_warm_up_leaves_nothing_to_compile(reference: Model, photo: Photo) -> None:
    fresh = Analyzer(reference, threads=2)
    fresh.warm_up()
    assert fresh.model_version == reference.card.version
    buffer = io.BytesIO(photo("obama")).getvalue()
    assert fresh.analyze([buffer] * 3)[2].faces
    fresh.close()
