from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.pictures.decoder import Raster, decode
from schemas.parts import Refusal
from schemas.reasons import Reason
from tests.models.sample_pictures import LEFT_HALF_RED, encoded, huge_png, jpeg, jpeg_in_tiff, rotated_by_exif

RGB = Image.fromarray(LEFT_HALF_RED)
HEIF = Path(__file__).with_name("heif")
"""Drawn pictures, written by pillow-heif; the package that reads them cannot write any."""


def heif(name: str) -> bytes:
    return (HEIF / f"{name}.heic").read_bytes()


def read(data: bytes) -> Raster:
    raster = decode(data, max_bytes=10_000_000, max_pixels=50_000_000)
    assert isinstance(raster, Raster), raster
    return raster


def refused(data: bytes, *, max_bytes: int = 10_000_000, max_pixels: int = 50_000_000) -> str:
    refusal = decode(data, max_bytes=max_bytes, max_pixels=max_pixels)
    assert isinstance(refusal, Refusal)
    assert refusal.detail
    return refusal.reason


def shows_the_picture(raster: Raster, tolerance: int = 60) -> bool:
    assert (raster.width, raster.height) == (120, 80)
    assert raster.pixels.shape == (80, 120, 3)
    assert raster.pixels.flags.c_contiguous
    difference = np.abs(raster.pixels[:, [20, 100]].astype(int) - LEFT_HALF_RED[:, [20, 100]])
    return bool(difference.max() <= tolerance)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg(LEFT_HALF_RED), id="baseline JPEG"),
        pytest.param(jpeg(LEFT_HALF_RED, progressive=True), id="progressive JPEG"),
        pytest.param(encoded(RGB.convert("CMYK"), "JPEG", quality=95), id="CMYK JPEG"),
        pytest.param(encoded(RGB.convert("CMYK"), "TIFF"), id="CMYK TIFF"),
        pytest.param(encoded(RGB, "PNG"), id="PNG"),
        pytest.param(encoded(RGB.quantize(16), "PNG"), id="palette PNG"),
        pytest.param(encoded(RGB.convert("RGBA"), "PNG"), id="opaque alpha PNG"),
        pytest.param(encoded(RGB, "BMP"), id="BMP"),
        pytest.param(encoded(RGB, "TIFF", compression="tiff_lzw"), id="TIFF"),
        pytest.param(jpeg_in_tiff(jpeg(LEFT_HALF_RED, progressive=True), 120, 80), id="TIFF that holds a JPEG"),
        pytest.param(encoded(RGB, "WEBP", quality=95), id="WebP"),
        pytest.param(encoded(RGB.quantize(16), "GIF"), id="GIF"),
        pytest.param(encoded(RGB, "AVIF", quality=95), id="AVIF"),
        pytest.param(encoded(RGB, "PPM"), id="PPM"),
        pytest.param(encoded(RGB, "JPEG2000"), id="JPEG 2000"),
        pytest.param(heif("colour"), id="HEIC"),
        pytest.param(heif("second-of-three"), id="HEIC of three pictures, the second of them the primary"),
        pytest.param(heif("turned"), id="HEIC that is turned by its own box and by EXIF"),
        pytest.param(encoded(RGB, "MPO", save_all=True, append_images=[Image.new("RGB", (120, 80))]), id="MPO"),
    ],
)
def test_formats(data: bytes) -> None:
    assert shows_the_picture(read(data))


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame(file_format: str) -> None:
    others = [Image.new("RGB", RGB.size, colour) for colour in ("green", "white")]
    assert shows_the_picture(read(encoded(RGB, file_format, save_all=True, append_images=others, duration=50)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_whatever_exif_says(orientation: int) -> None:
    assert shows_the_picture(read(rotated_by_exif(RGB, orientation)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(RGB.convert("L"), "JPEG", quality=95), id="JPEG"),
        pytest.param(encoded(RGB.convert("L"), "PPM"), id="PGM"),
        pytest.param(encoded(RGB.convert("L"), "JPEG2000"), id="JPEG 2000"),
        pytest.param(heif("grey"), id="HEIC"),
    ],
)
def test_grey(data: bytes) -> None:
    grey = read(data).pixels
    assert grey.shape == (80, 120, 3)
    assert np.ptp(grey.astype(int), axis=2).max() == 0


@pytest.mark.parametrize("name", ["grey-ten-bits", "colour-ten-bits"])
def test_ten_bits_keep_their_light(name: str) -> None:
    read_back = read(heif(name)).pixels[32].astype(int)
    assert np.abs(read_back - np.linspace(0, 255, 128)[:, None]).max() <= 4


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "JPEG2000"])
def test_sixteen_bits_keep_their_light(file_format: str) -> None:
    ramp = np.tile(np.linspace(0, 65_535, 120).astype(np.uint16), (80, 1))
    read_back = read(encoded(Image.fromarray(ramp), file_format)).pixels[40, :, 0].astype(int)
    assert np.abs(read_back - np.linspace(0, 255, 120)).max() <= 2


def test_transparent_parts_become_mid_grey() -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    for file_format in ("PNG", "JPEG2000"):
        assert read(encoded(image, file_format)).pixels[20, 20].tolist() == [128, 128, 128]
    assert np.abs(read(heif("alpha")).pixels[:, [20, 100]].astype(int) - [[128] * 3, [40, 40, 200]]).max() < 30


def test_a_large_jpeg_is_decoded_at_a_fraction_and_still_says_its_size() -> None:
    raster = read(jpeg(np.zeros((3000, 4000, 3), np.uint8)))
    assert raster.pixels.shape == (1500, 2000, 3)
    assert (raster.width, raster.height) == (4000, 3000)


def test_stray_bytes_between_the_parts_of_a_jpeg_do_no_harm() -> None:
    data = jpeg(LEFT_HALF_RED)
    scan = data.index(b"\xff\xda")
    assert shows_the_picture(read(data[:scan] + bytes(4) + data[scan:]))


def test_stray_bytes_do_not_hide_that_a_jpeg_is_cut_off() -> None:
    data = jpeg(np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8))
    scan = data.index(b"\xff\xda")
    assert refused(data[:scan] + bytes(4) + data[scan : len(data) * 6 // 10] + b"\xff\xd9") == Reason.UNDECODABLE


def test_an_unheard_of_revision_of_jfif_does_no_harm() -> None:
    data = jpeg(LEFT_HALF_RED)
    assert shows_the_picture(read(data.replace(b"JFIF\0\x01\x01", b"JFIF\0\x02\x01", 1)))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "PPM", "JPEG2000"])
def test_any_large_picture_is_made_smaller_and_still_says_its_size(file_format: str) -> None:
    raster = read(encoded(Image.new("RGB", (4000, 800), "red"), file_format))
    assert raster.pixels.shape == (400, 2000, 3)
    assert (raster.width, raster.height) == (4000, 800)
    assert raster.pixels[200, 1000, 0] > 250


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_other_formats_are_turned_too(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {3: RGB.rotate(180), 6: RGB.rotate(90, expand=True)}[orientation]
    raster = read(encoded(turned, file_format, exif=exif))
    assert (raster.width, raster.height) == RGB.size
    assert shows_the_picture(raster)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "JPEG"])
def test_damaged_exif_is_overlooked(file_format: str) -> None:
    assert shows_the_picture(read(encoded(RGB, file_format, exif=b"Exif\0\0rubbish", quality=95)))


def test_sixteen_bits_that_are_stored_as_a_negative() -> None:
    grey = np.full((80, 120), 60_000, np.uint16)
    data = encoded(Image.fromarray(grey), "TIFF", tiffinfo={262: 0})
    assert read(data).pixels[40, 60, 0] == 255 - (60_000 >> 8)


def test_sixteen_bits_of_which_one_value_is_transparent() -> None:
    grey = np.tile(np.linspace(0, 65_535, 120).astype(np.uint16), (80, 1))
    pixels = read(encoded(Image.fromarray(grey), "PNG", transparency=0)).pixels[40, :, 0]
    assert np.ptp(pixels) > 200


def progressive(scans: int, more: bytes = b"") -> bytes:
    """A JPEG with scans that say the same again, and something behind its end."""
    data = jpeg(LEFT_HALF_RED, progressive=True)
    last = data[data.rindex(b"\xff\xc4") : -2]
    return data[:-2] + last * (scans - data.count(b"\xff\xda")) + b"\xff\xd9" + more


HOSTILE = {
    "scans": progressive(25),
    "scans behind a marker without a segment": progressive(10)[:-2]
    + b"\xff\x01\xff\xf0"
    + progressive(40)[len(progressive(10)) - 2 :],
    "scans in a TIFF": jpeg_in_tiff(progressive(60), 120, 80),
    "segments": jpeg(LEFT_HALF_RED)[:2] + b"\xff\xfe\0\x02" * 100_000 + jpeg(LEFT_HALF_RED)[2:],
    "fill bytes": jpeg(LEFT_HALF_RED)[:2] + b"\xff" * 5_000_000 + jpeg(LEFT_HALF_RED)[2:],
    "exif segments": jpeg(LEFT_HALF_RED)[:2] + b"\xff\xe1\0\x0aExif\0\0ab" * 50_000 + jpeg(LEFT_HALF_RED)[2:],
    "plain text pixels": b"P1 9 9\n" + b"#\n" * 1_000_000,
    "a comment in a header": b"P5\n#" + b"x" * 1_000_000 + b"\n9 9 255\n" + bytes(81),
    "runs of nothing": encoded(RGB.quantize(16), "BMP")[:30] + b"\x01" + encoded(RGB.quantize(16), "BMP")[31:],
    "strips": encoded(Image.new("1", (8, 200_000)), "TIFF", tiffinfo={278: 1}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_more_work_than_any_encoder_asks_for(name: str) -> None:
    assert refused(HOSTILE[name]) == Reason.UNDECODABLE


def test_a_jpeg_of_many_scans_says_what_is_wrong_with_it() -> None:
    refusal = decode(progressive(66), max_bytes=10_000_000, max_pixels=50_000_000)
    assert isinstance(refusal, Refusal)
    assert "more than 24 scans" in refusal.detail


def test_what_stands_behind_a_jpeg_has_no_scans() -> None:
    # Phones append a film or the picture's second half.
    assert shows_the_picture(read(progressive(10, bytes(1_000) + b"\xff\xda\0\x08" * 500)))


@pytest.mark.parametrize("part", [0.5, 0.9, 0.999])
def test_a_truncated_jpeg_is_never_half_a_picture(part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    data = jpeg(noise)
    assert refused(data[: int(len(data) * part)]) == Reason.UNDECODABLE


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"])
def test_other_truncated_files(file_format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8))
    data = encoded(noise, file_format)
    assert refused(data[: len(data) // 2]) == Reason.UNDECODABLE


@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_a_truncated_heic(part: float) -> None:
    data = heif("colour")
    assert refused(data[: int(len(data) * part)]) == Reason.UNDECODABLE


def test_a_damaged_heic_that_crashes_its_decoder_harms_nobody() -> None:
    data = heif("turned")
    refusal = decode(data.replace(b"Exif", b"\xc5xif", 1), max_bytes=10_000_000, max_pixels=50_000_000)
    assert isinstance(refusal, Refusal)
    assert "its decoder crashed" in refusal.detail
    assert shows_the_picture(read(data))


def test_the_size_in_a_heic_is_no_promise() -> None:
    data = heif("large")
    size = data.index(b"ispe") + 8
    assert refused(data[:size] + bytes([0, 0, 0, 64] * 2) + data[size + 8 :]) == Reason.UNDECODABLE


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"this is no picture, though its name ends in .jpg\n" * 20, id="text"),
        pytest.param(b"\xff\xd8\xff\xe0", id="four bytes"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", id="PostScript"),
        pytest.param(encoded(Image.new("F", (9, 9)), "TIFF"), id="floating point"),
        pytest.param(bytes(1000), id="zeros"),
    ],
)
def test_what_is_no_picture(data: bytes) -> None:
    assert refused(data) == Reason.UNDECODABLE


def test_zero_bytes() -> None:
    assert refused(b"") == Reason.EMPTY_PICTURE


def test_more_bytes_than_allowed() -> None:
    data = jpeg(LEFT_HALF_RED)
    assert refused(data, max_bytes=len(data) - 1) == Reason.PICTURE_TOO_LARGE


def test_more_pixels_than_allowed() -> None:
    for data in (jpeg(LEFT_HALF_RED), heif("colour"), encoded(RGB, "PPM"), encoded(RGB, "JPEG2000")):
        assert refused(data, max_pixels=120 * 80 - 1) == Reason.TOO_MANY_PIXELS
    assert refused(heif("large")) == Reason.TOO_MANY_PIXELS


def test_a_huge_picture_in_few_bytes_costs_neither_time_nor_memory() -> None:
    data = huge_png(30_000)
    assert len(data) < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    assert refused(data) == Reason.TOO_MANY_PIXELS
    assert time.process_time() - started < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
