"""Bytes to an upright RGB picture, or the reason why not. Limits are checked before anything is decoded."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from PIL import Image, ImageOps, UnidentifiedImageError

from models.geometry import Pixels
from schemas.events import Refusal
from schemas.reasons import Reason

Image.init()
# Formats outside this list are not tried: some of Pillow's readers start other programs.
_FORMATS: tuple[str, ...] = tuple(
    name for name in ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "PPM") if name in Image.OPEN
)
_BACKGROUND = (128, 128, 128, 255)
_ORIENTATION = 0x0112
_REDUCED_SIDE = 2000
# libjpeg's words for a file that has stray bytes between its parts, as some cameras write; the picture is whole.
_HARMLESS = "extraneous bytes"

# Our own limit is the lower one.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class Raster:
    """A decoded picture: ``pixels`` RGB [rows, columns, 3], and the size of the upright picture that they show.

    The pixels are fewer than the size says where a JPEG of 4,000 or more a side was decoded at a fraction of it.
    """

    pixels: Pixels
    width: int
    height: int


def decode(data: bytes, *, max_bytes: int, max_pixels: int) -> Raster | Refusal:
    """Decode a picture, turned as its EXIF orientation says; of an animation the first frame.

    Transparent parts become mid grey, 16-bit pictures lose their lower byte, CMYK is converted without its profile.

    Args:
        data: JPEG, PNG, GIF, WebP, AVIF, BMP, TIFF or PNM.
        max_bytes: longer data is refused.
        max_pixels: a picture whose header announces more is refused; above 178,956,970 in any case (Pillow's limit).
    """
    if not data:
        return Refusal(Reason.EMPTY_PICTURE, "the picture has zero bytes")
    if len(data) > max_bytes:
        return Refusal(Reason.PICTURE_TOO_LARGE, f"{len(data)} bytes, {max_bytes} are allowed")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if (pixels := image.width * image.height) > max_pixels:
                return _too_many(f"{image.width} × {image.height} = {pixels} pixels, {max_pixels} are allowed")
            if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
                return _jpeg(data, image)
            return _other(image)
    except Image.DecompressionBombError:
        return _too_many(f"more pixels than could ever be decoded; {max_pixels} are allowed")
    except UnidentifiedImageError:
        return Refusal(Reason.UNDECODABLE, f"the {len(data)} bytes are none of {', '.join(_FORMATS)}")
    # Decoders of hostile bytes raise whatever they stumble over; each of them means the same.
    except Exception as error:
        return Refusal(Reason.UNDECODABLE, f"{type(error).__name__}: {error}")


def _too_many(detail: str) -> Refusal:
    return Refusal(Reason.TOO_MANY_PIXELS, detail)


def _jpeg(data: bytes, image: Image.Image) -> Raster:
    """By libjpeg-turbo, which is three times as fast as Pillow on large pictures and tells a truncated file."""
    longer = max(image.size)
    least = [side * _REDUCED_SIDE // longer if longer >= 2 * _REDUCED_SIDE else 0 for side in image.size]
    try:
        pixels = simplejpeg.decode_jpeg(data, min_width=least[0], min_height=least[1], min_factor=2)
    except ValueError as error:
        if _HARMLESS not in str(error):
            raise
        return _other(image)
    pixels, turned = _upright(pixels, image.getexif().get(_ORIENTATION, 1))
    width, height = reversed(image.size) if turned else image.size
    return Raster(pixels, width, height)


def _upright(pixels: Pixels, orientation: int) -> tuple[Pixels, bool]:
    """Undo an EXIF orientation; True if rows have become columns."""
    turns = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0)
    if turns:
        pixels = np.rot90(pixels, turns)
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels), turns % 2 == 1


def _other(image: Image.Image) -> Raster:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, _BACKGROUND)
        image = Image.alpha_composite(background, image.convert("RGBA"))
    elif image.mode.startswith("I"):
        grey = np.clip(np.asarray(image, np.int64) >> 8, 0, 255).astype(np.uint8)
        image = Image.fromarray(grey)
    elif image.mode == "F":
        raise ValueError("pixels are floating-point numbers of unknown range")
    return Raster(np.array(image.convert("RGB")), image.width, image.height)
