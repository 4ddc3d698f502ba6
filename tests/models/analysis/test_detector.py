from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from models.analysis.blazeface import SIDE, BlazeFace
from models.analysis.detector import MIN_SCORE, Detector
from models.analysis.views import Picture, View, halvings, tiles, whole
from models.analysis.yunet import STEP, YuNet
from models.embedder import runtime
from models.pictures.geometry import Pixels
from tests.models.conftest import Photo
from tests.models.sample_pictures import opened


@pytest.fixture(scope="module")
def portrait(photo: Photo) -> Image.Image:
    return opened(photo("obama"))


def frame(portrait: Image.Image, height: int, corner: tuple[int, int] = (1300, 500)) -> Pixels:
    """A full-HD frame in which one person stands far away; ``height`` is that of the portrait."""
    picture = Image.new("RGB", (1920, 1080), (90, 100, 110))
    picture.paste(portrait.resize((round(height * portrait.width / portrait.height), height)), corner)
    return np.asarray(picture)


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    if (found := YuNet.load()) is None:
        pytest.skip("OpenVINO is not installed")
    return found


def test_half_precision_sees_the_same_face(portrait: Image.Image) -> None:
    network = BlazeFace()
    pixels = np.asarray(portrait.resize((SIDE, SIDE)))
    shown = np.multiply(pixels, np.float32(2 / 255)) - np.float32(1)
    exact, quick = network(shown, 0.5), network(shown, 0.5, quickly=True)
    best, other = exact[exact[:, 0].argmax()], quick[quick[:, 0].argmax()]
    assert abs(best[0] - other[0]) < 0.05
    assert np.abs(best[1:] - other[1:]).max() < 1.5


def test_openvino_sees_what_litert_sees(portrait: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.asarray(portrait.resize((SIDE, SIDE)))
    shown = np.multiply(pixels, np.float32(2 / 255)) - np.float32(1)
    network = BlazeFace()
    monkeypatch.setattr(runtime, "openvino", lambda: None)
    lite = BlazeFace()
    assert type(network._model) is not type(lite._model)
    np.testing.assert_allclose(network(shown, 0.5), lite(shown, 0.5), atol=0.01)


def test_yunet_is_compiled_once_for_each_size(yunet: YuNet) -> None:
    before = yunet._compiled.cache_info()
    for shape in ((96, 64), (64, 96), (96, 64), (64, 96)):
        yunet(np.zeros((*shape, 3), np.float32), 0.5)
    after = yunet._compiled.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (2, 2)


@pytest.mark.parametrize("height", [110, 180, 300, 700])
def test_a_face_of_any_size_is_found_in_a_large_frame(portrait: Image.Image, height: int) -> None:
    detections = Detector(YuNet.load()).detect(Picture(frame(portrait, height)))
    [face] = [one for one in detections if one.score >= MIN_SCORE]
    # In the portrait, the middle of the eyes is at 0.49 of the width and 0.19 of the height.
    width = height * portrait.width / portrait.height
    eyes = face.points[:2].mean(0)
    assert np.abs(eyes - (1300 + 0.49 * width, 500 + 0.19 * height)).max() < 0.05 * height


def test_without_openvino_tiles_find_them(portrait: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "openvino", lambda: None)
    detector = Detector(YuNet.load())
    assert detector._yunet is None
    [face] = [one for one in detector.detect(Picture(frame(portrait, 180))) if one.score >= MIN_SCORE]
    assert face.score > 0.6


def test_small_faces_beside_a_small_face_are_where_yunet_proposes_them(portrait: Image.Image) -> None:
    picture = Image.fromarray(frame(portrait, 110))
    for corner in ((200, 200), (700, 300), (1000, 800)):
        picture.paste(portrait.resize((88, 110)), corner)
    faces = [one for one in Detector(YuNet.load()).detect(Picture(np.asarray(picture))) if one.score >= MIN_SCORE]
    assert len(faces) == 4


def test_yunet_sees_the_same_in_every_thread(yunet: YuNet, portrait: Image.Image) -> None:
    picture = Picture(frame(portrait, 300))
    shown = picture.show(whole(1920, 1080, 3.0, STEP))
    assert shown.shape == (384, 640, 3)
    proposals = yunet(shown, 0.6)
    assert len(proposals)
    x, y = proposals[proposals[:, 0].argmax(), 1:3] * 3 - (0, (384 * 3 - 1080) / 2)
    assert abs(x - 1418) < 40
    assert abs(y - 565) < 40
    with ThreadPoolExecutor(4) as pool:
        for others in pool.map(lambda _: yunet(shown, 0.6), range(8)):
            np.testing.assert_array_equal(others, proposals)


def test_a_picture_is_halved_once_for_all_tiles_and_shown_as_if_cut_out_first() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (1080, 1920, 3), np.uint8)
    picture = Picture(noise)
    all_tiles = tiles(1920, 1080, 640.0, SIDE)
    assert halvings(640 / SIDE) == 1
    for tile in all_tiles:
        shown = picture.show(tile)
        left, top = max(0, int(tile.x)), max(0, int(tile.y))
        cut_out = Picture(noise[top : top + 640, left : left + 640])
        alone = cut_out.show(View(tile.x - left, tile.y - top, tile.scale, SIDE, SIDE))
        np.testing.assert_array_equal(shown, alone)
    assert len(picture._halves) == 2


def test_what_lies_outside_the_picture_is_black() -> None:
    shown = Picture(np.full((100, 200, 3), 255, np.uint8)).show(whole(200, 100, 1.0, STEP))
    assert shown.shape == (128, 224, 3)
    assert (shown[14:114, 12:212] == 1).all()
    assert (shown[:14] == -1).all()
    assert (shown[:, 212:] == -1).all()
