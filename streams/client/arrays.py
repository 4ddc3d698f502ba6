"""Pictures from NumPy arrays, as OpenCV and Pillow give them. Needs OpenCV, or Pillow: the extra ``arrays``."""

from __future__ import annotations

import importlib
import io
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from streams.client.errors import InvalidEvent, MissingExtra

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[Any]

_CHANNELS = 3


def encode_array(
    array: Pixels,
    *,
    order: Literal["bgr", "rgb"],
    encoding: Literal["jpeg", "png"] = "jpeg",
    quality: int = 95,
) -> bytes:
    """The encoded picture of an array, to be given to ``enrol``, ``frame`` or ``ask``.

    Args:
        array: uint8, height × width × 3, or height × width of grey values.
        order: of the channels: ``bgr`` as OpenCV reads and captures, ``rgb`` as Pillow, imageio and most others.
        encoding: ``jpeg`` is small; ``png`` keeps every pixel.
        quality: of JPEG, 1 to 100.

    Raises:
        InvalidEvent: the array is no picture.
        MissingExtra: neither OpenCV nor Pillow is installed.
    """
    if order not in ("bgr", "rgb") or encoding not in ("jpeg", "png"):
        raise InvalidEvent(f"order is 'bgr' or 'rgb', encoding 'jpeg' or 'png', not {order!r} and {encoding!r}")
    if not 1 <= quality <= 100:
        raise InvalidEvent(f"quality must be from 1 to 100, not {quality}")
    shape, kind = getattr(array, "shape", None), str(getattr(array, "dtype", None))
    grey = shape is not None and len(shape) == 2
    if shape is None or not (grey or (len(shape) == 3 and shape[2] == _CHANNELS)) or 0 in shape or kind != "uint8":
        raise InvalidEvent(
            f"a picture is an array of uint8, height × width × 3 or height × width, not {kind} with the shape {shape}"
        )
    if (cv2 := _module("cv2")) is not None:
        return _by_opencv(cv2, array, encoding, quality, swap=order == "rgb" and not grey)
    if (image := _module("PIL.Image")) is not None:
        return _by_pillow(image, array, encoding, quality, swap=order == "bgr" and not grey)
    raise MissingExtra(
        "an array can be encoded with OpenCV or Pillow, and neither is installed: install facestream-client[arrays]"
    )


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _by_opencv(cv2: Any, array: Pixels, encoding: str, quality: int, *, swap: bool) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if encoding == "jpeg" else []
    done, data = cv2.imencode(f".{encoding}", array[:, :, ::-1] if swap else array, options)
    if not done:
        raise InvalidEvent(f"OpenCV cannot encode the array with the shape {array.shape}")
    return bytes(data)


def _by_pillow(image: Any, array: Pixels, encoding: str, quality: int, *, swap: bool) -> bytes:
    mode = "L" if array.ndim == 2 else "RGB"
    pixels = array[:, :, ::-1] if swap else array
    file = io.BytesIO()
    height, width = pixels.shape[:2]
    options = {"quality": quality} if encoding == "jpeg" else {}
    image.frombytes(mode, (width, height), pixels.tobytes()).save(file, encoding.upper(), **options)
    return file.getvalue()
