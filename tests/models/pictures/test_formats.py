"""What bytes are: pictures of a format, pictures in a wrapping, or something else."""

from __future__ import annotations

import base64

import pytest
from PIL import Image

from models.pictures import formats
from models.pictures.decoder import decode
from schemas.parts import Refusal
from schemas.reasons import Reason
from tests.models.pictures.test_decoder import heif
from tests.models.sample_pictures import LEFT_HALF_RED, encoded

RGB = Image.fromarray(LEFT_HALF_RED)
JPEG, PNG = encoded(RGB, "JPEG"), encoded(RGB, "PNG")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (JPEG, "JPEG"),
        (PNG, "PNG"),
        (encoded(RGB, "GIF"), "GIF"),
        (encoded(RGB, "WEBP"), "WebP"),
        (encoded(RGB, "AVIF"), "AVIF"),
        (heif("colour"), "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0avifmif1", "AVIF"),
        (encoded(RGB, "BMP"), "BMP"),
        (encoded(RGB, "TIFF"), "TIFF"),
        (encoded(RGB, "PPM"), "PNM"),
        (encoded(RGB, "JPEG2000"), "JPEG 2000"),
        (encoded(RGB, "JPEG2000", no_jp2=True), "JPEG 2000"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", None),
        (b"P12 bags", None),
        (b"", None),
    ],
    ids=str,
)
def test_the_format_of_bytes(data: bytes, name: str | None) -> None:
    assert formats.format_of(data) == name
    assert name is None or formats.wrapped(data) is None


WRAPPED = {
    "Base64": (base64.b64encode(JPEG), "a JPEG as Base64 text"),
    "Base64 in lines": (base64.encodebytes(PNG), "a PNG as Base64 text"),
    "Base64 for addresses": (base64.urlsafe_b64encode(heif("colour")), "a HEIF as Base64 text"),
    "Base64 in quotes": (b'"' + base64.b64encode(JPEG) + b'"', "a JPEG as Base64 text"),
    "hexadecimal": (JPEG.hex().encode(), "a JPEG as hexadecimal text"),
    "data:": (b"data:image/jpeg;base64," + base64.b64encode(JPEG), "a data: address"),
    "byte-order mark": (b"\xef\xbb\xbf" + JPEG, "a byte-order mark of UTF-8 stands before the JPEG"),
    "byte-order mark, Base64": (b"\xff\xfe" + base64.b64encode(PNG), "a byte-order mark of UTF-16 stands before"),
    "line end": (b"\r\n" + PNG, "line ends or blanks stand before the PNG"),
    "read as text": (JPEG.decode("utf-8", "replace").encode(), "bytes that were read as text"),
    "encoded anew": (JPEG.decode("latin-1").encode(), "encoded as text again"),
    "line ends converted": (PNG.replace(b"\r\n", b"\n"), "line ends were converted"),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_picture_in_a_wrapping_is_told(name: str) -> None:
    data, said = WRAPPED[name]
    assert said in (formats.wrapped(data) or "")
    refusal = decode(data, max_bytes=10_000_000, max_pixels=50_000_000)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNDECODABLE
    assert said in refusal.detail


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"%PDF-1.7\n", "are a PDF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "are a video"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b'--x\r\nContent-Disposition: form-data; name="photo"\r\n\r\n' + JPEG, "multipart form"),
        (b"<!DOCTYPE html><title>404</title>", "HTML"),
        (b"Dear sir or madam,\n" * 40, "none of JPEG, PNG"),
        (b"A" * 1_000, "none of JPEG, PNG"),
        (bytes(1_000), "none of JPEG, PNG"),
    ],
)
def test_what_else_it_is(data: bytes, said: str) -> None:
    assert formats.wrapped(data) is None
    assert said in formats.otherwise(data)
