"""The process in which :mod:`models.pictures.isolated` decodes one picture: bytes on stdin, pixels on stdout.

It runs as a script. It sets limits on memory and processor time before it decodes anything, and again once the size is
known, in proportion to it.
"""

from __future__ import annotations

import io
import json
import math
import resource
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_OPEN_S = 2
"""Seconds of processor time to open a picture."""
_PIXELS_A_S = 7_500_000
"""Pixels per additional second of processor time; a photo of 12 million takes one. A batch of the 32 slowest pictures
stays within the watchdog's limit.
"""
_BYTES = 512 * 2**20
_BYTES_A_PIXEL = 16
_REDUCED_SIDE = 2_000


def main() -> None:
    """Read one picture from stdin, with at most as many pixels as the argument; write a line of JSON, then pixels."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    most = int(sys.argv[1])
    data = sys.stdin.buffer.read()
    _allow(len(data) * 4, 0)
    import pi_heif  # type: ignore[import-untyped]
    from PIL import Image

    pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(io.BytesIO(data), formats=("HEIF", "JPEG2000")) as image:
        size, pixels = image.size, image.width * image.height
        if pixels > most:
            _answer({"pixels": size})
            return
        _allow(len(data) * 4, pixels)
        image.load()
        if image.size != size:
            raise ValueError(f"it announces {size[0]} × {size[1]} pixels, but has {image.width} × {image.height}")
        plain = _plain(image)
    if max(size) >= 2 * _REDUCED_SIDE:
        plain = plain.reduce(max(size) // _REDUCED_SIDE)
    _answer({"of": size, "size": plain.size, "mode": plain.mode}, plain.tobytes())


def _plain(image: Image.Image) -> Image.Image:
    """Convert to one byte per channel: L, RGB or RGBA."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        return Image.frombytes("L", image.size, image.tobytes("raw", "I;16")[1::2])
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _allow(more_bytes: int, pixels: int) -> None:
    """Limit the memory of this process, and the processor time that it may still take."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = math.ceil(used.ru_utime + used.ru_stime + _OPEN_S + pixels / _PIXELS_A_S)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    try:
        most = _BYTES + more_bytes + pixels * _BYTES_A_PIXEL
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    except (ValueError, OSError):
        pass  # macOS has no such limit


def _answer(head: dict[str, object], pixels: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + pixels)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        main()
    except ImportError:
        raise  # not the picture's fault
    except Exception as error:
        unknown = type(error).__name__ == "UnidentifiedImageError"
        _answer({"error": "it is cut off or damaged" if unknown else f"{type(error).__name__}: {error}"})
