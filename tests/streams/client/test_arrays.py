"""Arrays become pictures that keep their colours, by either library."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from models.pictures.formats import format_of
from streams.client import arrays
from streams.client.arrays import encode_array
from streams.client.errors import FacestreamError, InvalidEvent, MissingExtra, NotAPicture
from streams.client.producer import Producer
from streams.client.settings import ClientSettings

RED_RGB = np.full((16, 24, 3), (250, 10, 20), np.uint8)


@pytest.fixture(params=["cv2", "PIL.Image"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Only this library is installed."""
    only = str(request.param)
    found = arrays._module
    monkeypatch.setattr(arrays, "_module", lambda name: found(name) if name == only else None)
    return only


def decoded(data: bytes) -> Any:
    import cv2

    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("encoding", ["jpeg", "png"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_colours_stay(order: Literal["rgb", "bgr"], encoding: Literal["jpeg", "png"]) -> None:
    array = RED_RGB if order == "rgb" else RED_RGB[:, :, ::-1]
    data = encode_array(array, order=order, encoding=encoding)
    assert format_of(data) == encoding.upper()
    off = np.abs(decoded(data).astype(int) - RED_RGB)
    assert off.max() <= (3 if encoding == "jpeg" else 0)


@pytest.mark.usefixtures("library")
def test_grey_and_quality() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    assert (decoded(encode_array(noise, order="bgr", encoding="png"))[:, :, 1] == noise).all()
    assert len(encode_array(noise, order="bgr", quality=20)) < len(encode_array(noise, order="bgr", quality=95))


@pytest.mark.parametrize(
    "changes",
    [
        {"array": RED_RGB.astype(np.float32)},
        {"array": RED_RGB[:, :, :2]},
        {"array": RED_RGB[:0]},
        {"array": b"bytes"},
        {"order": "RGB"},
        {"encoding": "gif"},
        {"quality": 0},
    ],
)
def test_what_is_no_picture_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        encode_array(**({"array": RED_RGB, "order": "rgb"} | changes))


def test_without_a_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_module", lambda _: None)
    with pytest.raises(MissingExtra, match=r"facestream-client\[arrays\]"):
        encode_array(RED_RGB, order="rgb")


def test_an_array_itself_is_no_picture() -> None:
    with (
        Producer(ClientSettings(kafka="127.0.0.1:1")) as producer,
        pytest.raises(NotAPicture, match="encode_array") as raised,
    ):
        producer.frame("anna", RED_RGB, camera_id="door")  # type: ignore[arg-type]
    assert isinstance(raised.value, TypeError)
    assert isinstance(raised.value, FacestreamError)
