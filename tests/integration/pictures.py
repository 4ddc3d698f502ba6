"""Pictures made from photographs: as strange devices send them, broken, or with many people."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def scaled(photo: Path, height: int) -> Image.Image:
    """A photograph at another height, RGB."""
    with Image.open(photo) as image:
        return image.convert("RGB").resize((round(image.width * height / image.height), height))


def encoded(image: Image.Image, format_: str = "JPEG", **options: Any) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, format_, **({"quality": 92} if format_ == "JPEG" else {}) | options)
    return file.getvalue()


def decoded(data: bytes) -> Image.Image:
    """The other way."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def cmyk_jpeg(image: Image.Image) -> bytes:
    return encoded(image.convert("CMYK"))


def cmyk_tiff(image: Image.Image) -> bytes:
    return encoded(image.convert("CMYK"), "TIFF")


def grey_jpeg(image: Image.Image) -> bytes:
    return encoded(image.convert("L"))


def grey_16_bit_png(image: Image.Image) -> bytes:
    return _sixteen_bits(np.asarray(image.convert("L")))


def colour_16_bit_png(image: Image.Image) -> bytes:
    return _sixteen_bits(np.asarray(image)[..., ::-1])


def palette_png(image: Image.Image) -> bytes:
    return encoded(image.quantize(256), "PNG")


def alpha_png(image: Image.Image) -> bytes:
    """Transparent at the left and right edge."""
    alpha = np.full((image.height, image.width), 255, np.uint8)
    margin = image.width // 12
    alpha[:, :margin] = alpha[:, -margin:] = 0
    with_alpha = image.copy()
    with_alpha.putalpha(Image.fromarray(alpha))
    return encoded(with_alpha, "PNG")


def grey_alpha_png(image: Image.Image) -> bytes:
    return encoded(image.convert("LA"), "PNG")


def lossless_webp(image: Image.Image) -> bytes:
    return encoded(image, "WEBP", lossless=True, method=0)


def bitmap(image: Image.Image) -> bytes:
    return encoded(image, "BMP")


def grey_pnm(image: Image.Image) -> bytes:
    return encoded(image.convert("L"), "PPM")


def colour_pnm(image: Image.Image) -> bytes:
    return encoded(image, "PPM")


def jpeg_2000(image: Image.Image) -> bytes:
    return encoded(image, "JPEG2000", quality_layers=[20])


def turned(image: Image.Image, orientation: int) -> bytes:
    """A JPEG as a camera held otherwise writes it: pixels that lie, and an EXIF orientation that stands them up."""
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    for step in undo[orientation]:
        image = image.transpose(step)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(image, exif=exif)


def animation(images: Sequence[Image.Image], format_: str) -> bytes:
    """A GIF or WebP that shows one image after the other."""
    size = (max(image.width for image in images), max(image.height for image in images))
    frames = []
    for image in images:
        frame = Image.new("RGB", size, (128, 128, 128))
        frame.paste(image, ((size[0] - image.width) // 2, 0))
        frames.append(frame)
    return encoded(frames[0], format_, save_all=True, append_images=frames[1:], duration=100, loop=0)


def truncated(jpeg: bytes) -> bytes:
    return jpeg[: len(jpeg) // 2]


def huge_png(side: int = 30_000, kept_bytes: int = 49_000) -> bytes:
    """A PNG that announces ``side`` × ``side`` white pixels, and holds the rows that go into so many bytes."""
    row = b"\x00" + b"\xff" * ((side + 7) // 8)
    rows = zlib.compress(row * side, 9)[:kept_bytes]
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    )


def landscape(width: int = 640, height: int = 480) -> bytes:
    """Hills and sky, and nobody there."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    sky = np.stack([235 - rows / 8, 200 - rows / 6, 120 - rows / 8], axis=-1)
    hill = rows > height * 0.6 + 40 * np.sin(columns / 90)
    picture = np.where(hill[..., None], (60, 90, 50), sky)
    return bytes(cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8))[1])


def head(photo: Path, size: int) -> Image.Image:
    """The head of a portrait, square."""
    with Image.open(photo) as image:
        width = image.width
        return image.convert("RGB").crop((0, 0, width, width)).resize((size, size))


def collage(heads: Sequence[Image.Image], columns: int) -> bytes:
    """Square pictures in rows."""
    size = heads[0].width
    rows = -(-len(heads) // columns)
    sheet = Image.new("RGB", (columns * size, rows * size), (128, 128, 128))
    for number, one in enumerate(heads):
        sheet.paste(one, (number % columns * size, number // columns * size))
    return encoded(sheet)


def _sixteen_bits(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    return bytes(cv2.imencode(".png", pixels.astype(np.uint16) * 257)[1])
