"""Pictures for the tests, made with Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

LEFT_HALF_RED = np.zeros((80, 120, 3), np.uint8)
LEFT_HALF_RED[:, :60] = (200, 40, 40)
LEFT_HALF_RED[:, 60:] = (40, 40, 200)


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    if file_format == "PNG":
        # The same pixels in a sixth of the time.
        options = {"compress_level": 1} | options
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def jpeg(pixels: np.ndarray[Any, Any], **options: Any) -> bytes:
    return encoded(Image.fromarray(pixels), "JPEG", **({"quality": 95} | options))


def rotated_by_exif(image: Image.Image, orientation: int) -> bytes:
    """Stored so that it is upright only to a reader of EXIF."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image if undo is None else image.transpose(undo), "JPEG", quality=95, exif=exif)


def huge_png(side: int) -> bytes:
    """A whole PNG of side × side grey pixels, all alike, in few bytes."""
    row = b"\0" * (side // 8 + 2)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row[: 1 + (side + 7) // 8]) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg_in_tiff(data: bytes, width: int, height: int) -> bytes:
    """A TIFF of one strip, which is a JPEG with colours."""
    ends = 8 + 2 + 9 * 12 + 4
    fields = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, ends), (259, 3, 1, 7), (262, 3, 1, 6)]
    fields += [(273, 4, 1, ends + 6), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(data))]
    entries = b"".join(struct.pack("<HHII", *one) for one in fields)
    return b"II*\0" + struct.pack("<IH", 8, 9) + entries + struct.pack("<IHHH", 0, 8, 8, 8) + data


def sheet(photo: Image.Image, columns: int, rows: int, width: int) -> Image.Image:
    """One photograph many times over."""
    height = width * photo.height // photo.width
    small = photo.resize((width, height), Image.Resampling.LANCZOS)
    whole = Image.new("RGB", (columns * width, rows * height))
    for index in range(columns * rows):
        whole.paste(small, (index % columns * width, index // columns * height))
    return whole
