"""Pictures as scanners, old phones and web pages make them: recognised like the plain JPEG of the same photograph."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from schemas import codec
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Frame, Picture
from schemas.reasons import Reason
from streams.client.errors import InvalidPicture
from streams.kafka.topics import Topic
from tests.integration import pictures
from tests.integration.clients import Clients, named
from tests.integration.conftest import Portraits
from tests.integration.pictures import scaled

KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    "CMYK JPEG": pictures.cmyk_jpeg,
    "CMYK TIFF": pictures.cmyk_tiff,
    "grey JPEG": pictures.grey_jpeg,
    "16-bit grey PNG": pictures.grey_16_bit_png,
    "16-bit colour PNG": pictures.colour_16_bit_png,
    "palette PNG": pictures.palette_png,
    "PNG with alpha": pictures.alpha_png,
    "grey PNG with alpha": pictures.grey_alpha_png,
    "lossless WebP": pictures.lossless_webp,
    "BMP": pictures.bitmap,
    "PGM": pictures.grey_pnm,
    "PPM": pictures.colour_pnm,
    "JPEG 2000": pictures.jpeg_2000,
    **{f"EXIF orientation {number}": partial(pictures.turned, orientation=number) for number in range(2, 9)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_recognised_like_the_plain_picture(
    kind: str, clients: Clients, host: str, photos: Path, portraits: Portraits
) -> None:
    strange = KINDS[kind](scaled(photos / "obama2.jpg", 480))
    plain = clients.producer.frame(host, portraits.obama2, camera_id="door")
    asked = clients.producer.frame(host, strange, camera_id="door")
    stored = clients.producer.enrol(host, strange, consent="tests", subject_id="strange")
    answers = clients.answers([plain.event_id, asked.event_id, stored.event_id])
    expected, answer, enrolment = answers[plain.event_id], answers[asked.event_id], answers[stored.event_id]

    assert named(answer) == named(expected) == ["obama"]
    assert (answer["width"], answer["height"]) == (expected["width"], expected["height"])
    assert answer["faces"][0]["box"] == pytest.approx(expected["faces"][0]["box"], abs=6)
    similarity, as_expected = (one["faces"][0]["candidates"][0]["similarity"] for one in (answer, expected))
    assert similarity == pytest.approx(as_expected, abs=0.1)
    assert enrolment["outcome"] == "enrolled"
    assert enrolment["box"] == pytest.approx(expected["faces"][0]["box"], abs=6)


@pytest.mark.parametrize("format_", ["GIF", "WEBP"])
def test_an_animation_is_its_first_frame(
    format_: str, clients: Clients, host: str, photos: Path, portraits: Portraits
) -> None:
    obama, biden = (scaled(photos / f"{name}.jpg", 480) for name in ("obama2", "biden"))
    wanted = clients.producer.frame(host, pictures.animation([obama, biden, biden], format_), camera_id="door")
    other = clients.producer.frame(host, pictures.animation([biden, obama, obama], format_), camera_id="door")
    answers = clients.answers([wanted.event_id, other.event_id])
    assert named(answers[wanted.event_id]) == ["obama"]
    assert named(answers[other.event_id]) == [None]


def test_what_a_phone_makes(clients: Clients, host: str, photos: Path, photo_store: Path) -> None:
    # The official portrait, written as HEIC by pillow-heif: the package that reads it cannot write.
    heic = Path(__file__).with_name("obama.heic")
    shutil.copy(heic, photo_store)
    plain = clients.producer.frame(host, pictures.encoded(scaled(photos / "obama.jpg", 480)), camera_id="door")
    asked = clients.producer.frame(host, heic, camera_id="door")
    named_only = clients.producer.frame(host, (photo_store / heic.name).as_uri(), camera_id="door")
    stored = clients.producer.enrol(host, heic, consent="tests", subject_id="phone")
    sent = [plain, asked, named_only, stored]
    expected, answer, by_address, enrolment = (
        clients.answers([one.event_id for one in sent])[one.event_id] for one in sent
    )
    assert named(answer) == named(by_address) == named(expected) == ["obama"]
    assert (answer["width"], answer["height"]) == (expected["width"], expected["height"])
    assert answer["faces"][0]["box"] == pytest.approx(expected["faces"][0]["box"], abs=6)
    assert enrolment["outcome"] == "enrolled"


def test_a_picture_in_a_wrapping(clients: Clients, host: str, portraits: Portraits) -> None:
    text = base64.b64encode(portraits.obama2)
    with pytest.raises(InvalidPicture, match="a JPEG as Base64 text") as raised:
        clients.producer.frame(host, text, camera_id="door")
    assert raised.value.reason is Reason.UNDECODABLE
    # From a producer that does not look.
    event = Frame(new_event_id(), host, "door", 0, utc_now(), Picture(text))
    clients.put(Topic.FRAMES, codec.encode(event), host)
    refusal = clients.answer(event.event_id)["refusal"]
    assert refusal["reason"] == "undecodable"
    assert "a JPEG as Base64 text" in refusal["detail"]
