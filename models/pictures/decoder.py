"""Decodes bytes to an upright RGB picture, or says why they cannot be decoded. Limits are checked first."""

from __future__ import annotations

import io
import os
import re
import struct
import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from PIL import Image, UnidentifiedImageError

from models.pictures import formats, isolated, pnm
from models.pictures.geometry import Pixels
from models.pictures.jpeg import MOST_SCANS, HostileJpeg, cleaned
from schemas.parts import Refusal
from schemas.reasons import Reason

Image.init()
# Other formats are not tried in this process: some of Pillow's readers start other programs, and some crash.
_FORMATS: tuple[str, ...] = tuple(
    name for name in ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF") if name in Image.OPEN
)
_BACKGROUND = (128, 128, 128, 255)
_ORIENTATION = 0x0112
_ISOLATED = ("HEIF", "JPEG 2000")
_BOXED_SIZE = re.compile(rb"ispe\0{4}(.{8})", re.DOTALL)
"""Width and height of one of the pictures in a HEIF file."""
_REDUCED_SIDE = 2000
# Warnings of libjpeg about pictures that are complete.
_HARMLESS = ("extraneous bytes", "unknown JFIF revision", "Invalid SOS parameters")
_MOST_PARTS = 50_000
"""Strips of a TIFF, chunks of a PNG."""
_RUN_LENGTH = (1, 2)
"""BMP compressions in which a few bytes may stand for any number of pixels."""
_LARGE_PIXELS = 10_000_000
_WHITE_IS_ZERO = (262, 0)
"""The TIFF tag and value of grey pictures that are stored as negatives."""

# The same limit as for plain JPEGs: each scan costs a pass over the picture.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", str(MOST_SCANS))
# Our own limit is lower than Pillow's, and its warnings about hostile files help nobody.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
_one_large_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Raster:
    """A decoded picture: ``pixels``, RGB [rows, columns, 3], and the full size of the upright picture.

    A picture with a side of 4,000 pixels or more is reduced, so it has fewer pixels than its size says.
    """

    pixels: Pixels
    width: int
    height: int


def decode(data: bytes, *, max_bytes: int, max_pixels: int) -> Raster | Refusal:
    """Decode a picture, or the first frame of an animation, and turn it upright by its EXIF orientation.

    Transparent parts become mid grey, 16-bit channels lose their lower byte, and CMYK is converted without its profile.

    Args:
        data: a file in one of the formats :data:`models.pictures.formats.NAMES`.
        max_bytes: longer data is refused.
        max_pixels: a picture whose header announces more is refused. Above 178,956,970, Pillow's limit, every picture
            is refused.

    Returns:
        The picture, or the refusal that says why it cannot be used.

    Raises:
        Interrupted: the process that decoded the picture was killed from outside, which says nothing about the picture.
    """
    if not data:
        return Refusal(Reason.EMPTY_PICTURE, "the picture has zero bytes")
    if len(data) > max_bytes:
        return Refusal(Reason.PICTURE_TOO_LARGE, f"{len(data)} bytes; at most {max_bytes} are allowed")
    kind = formats.format_of(data)
    try:
        if kind in _ISOLATED:
            return _isolated(data, max_pixels)
        if kind == "PNM":
            return _pnm(data, max_pixels)
        if kind == "JPEG":
            data = cleaned(data)
        elif kind == "PNG" and data.count(b"IDAT") + data.count(b"tEXt") > _MOST_PARTS:
            return Refusal(Reason.UNDECODABLE, f"a PNG of more than {_MOST_PARTS} chunks")
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if (pixels := image.width * image.height) > max_pixels:
                return _too_many(f"{image.width} × {image.height} = {pixels} pixels; at most {max_pixels} are allowed")
            if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
                return _jpeg(data, image)
            with _room(pixels):
                return _other(image)
    except isolated.Interrupted:
        raise
    except isolated.TooManyPixels as error:
        return _too_many(str(error))
    except Image.DecompressionBombError:
        return _too_many(f"more pixels than any decoder takes; at most {max_pixels} are allowed")
    except UnidentifiedImageError:
        return Refusal(Reason.UNDECODABLE, f"a {kind} that cannot be read" if kind else formats.otherwise(data))
    except (isolated.UnreadablePicture, pnm.MalformedPnm, HostileJpeg) as error:
        return Refusal(Reason.UNDECODABLE, f"a {kind} that cannot be read: {error}")
    # Decoders raise all kinds of errors for hostile bytes; they all mean the same.
    except Exception as error:
        return Refusal(Reason.UNDECODABLE, f"{type(error).__name__}: {error}")


def _room(pixels: int) -> AbstractContextManager[object]:
    """Decode large pictures one at a time, because each temporarily takes many times its size in memory."""
    return _one_large_at_a_time if pixels > _LARGE_PIXELS else nullcontext()


def _isolated(data: bytes, max_pixels: int) -> Raster:
    sizes = (struct.unpack(">II", found[1]) for found in _BOXED_SIZE.finditer(data[: formats.HEAD_BYTES]))
    announced = max((width * height for width, height in sizes), default=0)
    # The size of a JPEG 2000 is not known beforehand; many are large.
    with _room(announced or len(data) * 8):
        image, size = isolated.read(data, max_pixels)
        return _raster(image, size)


def _pnm(data: bytes, max_pixels: int) -> Raster | Refusal:
    announced = pnm.header(data)
    size = announced.width, announced.height
    if (pixels := announced.width * announced.height) > max_pixels:
        return _too_many(f"{size[0]} × {size[1]} = {pixels} pixels; at most {max_pixels} are allowed")
    with _room(pixels):
        return _raster(_reduced(Image.fromarray(pnm.pixels(data, announced))), size)


def _too_many(detail: str) -> Refusal:
    return Refusal(Reason.TOO_MANY_PIXELS, detail)


def _jpeg(data: bytes, image: Image.Image) -> Raster:
    """Decode with libjpeg-turbo, which detects truncation, and is three times as fast as Pillow for large pictures."""
    longer = max(image.size)
    least = [side * _REDUCED_SIDE // longer if longer >= 2 * _REDUCED_SIDE else 0 for side in image.size]
    try:
        pixels = simplejpeg.decode_jpeg(data, min_width=least[0], min_height=least[1], min_factor=2)
    except ValueError as error:
        if not any(words in str(error) for words in _HARMLESS):
            raise
        return _other(image)
    pixels, turned = _upright(pixels, image.getexif().get(_ORIENTATION, 1))
    width, height = reversed(image.size) if turned else image.size
    return Raster(pixels, width, height)


def _upright(pixels: Pixels, orientation: int) -> tuple[Pixels, bool]:
    """Undo an EXIF orientation; the second value says whether rows have become columns."""
    turns = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0)
    if turns:
        pixels = np.rot90(pixels, turns)
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels), turns % 2 == 1


def _other(image: Image.Image) -> Raster:
    """Decode with Pillow. The size is reduced early, because each conversion copies the picture."""
    size = image.size
    if image.format == "BMP" and image.info.get("compression") in _RUN_LENGTH:
        raise ValueError("a BMP with run-length encoding")
    if len(getattr(image, "tile", ())) > _MOST_PARTS:
        raise ValueError(f"a picture in more than {_MOST_PARTS} parts")
    longer = max(size)
    if longer >= 2 * _REDUCED_SIDE:
        image.draft(None, (size[0] * _REDUCED_SIDE // longer, size[1] * _REDUCED_SIDE // longer))
    image.load()
    negative = getattr(image, "tag_v2", {}).get(_WHITE_IS_ZERO[0]) == _WHITE_IS_ZERO[1]
    orientation = _orientation(image)
    return _raster(_reduced(_in_bytes(image, negative=negative)), size, orientation)


def _raster(image: Image.Image, size: tuple[int, int], orientation: int = 1) -> Raster:
    """Make a raster from a picture with one byte per channel, which may be reduced; ``size`` is its full size."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, _BACKGROUND), image)
    pixels, turned = _upright(np.array(image.convert("RGB")), orientation)
    width, height = reversed(size) if turned else size
    return Raster(pixels, width, height)


def _orientation(image: Image.Image) -> int:
    """The orientation from EXIF or XMP; 1 if they are damaged."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    # The parser may raise anything for damaged metadata.
    except Exception:
        return 1
    return orientation if isinstance(orientation, int) else 1


def _in_bytes(image: Image.Image, *, negative: bool) -> Image.Image:
    """Convert to one byte per channel; to RGBA if there is transparency."""
    if image.mode in ("F", "I"):
        raise ValueError("the range of its pixel values is unknown")
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image, np.uint16) >> 8).astype(np.uint8)
        return Image.fromarray(255 - grey if negative else grey)
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode in ("P", "PA", "1") else image


def _reduced(image: Image.Image) -> Image.Image:
    longer = max(image.size)
    return image.reduce(longer // _REDUCED_SIDE) if longer >= 2 * _REDUCED_SIDE else image
