"""Reads PBM, PGM and PPM, as text or binary (P1 to P6), in time and memory proportional to their size.

Pillow reads the rarer of these formats pixel by pixel in Python, so a small file would cost minutes.

Source: Netpbm, https://netpbm.sourceforge.net/doc/ppm.html and the pages of the other formats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.pictures.geometry import Pixels

_BLANK = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])"
_SIZE = re.compile(rb"P([1-6])" + _BLANK + rb"+(\d{1,9})" + _BLANK + rb"+(\d{1,9})")
_MAXIMUM = re.compile(_BLANK + rb"+(\d{1,5})")
_COMMENT = re.compile(rb"#[^\r\n]*")
_MOST_HEADER = 10_000
"""Longest header in bytes, including comments."""


class MalformedPnm(ValueError):
    """The file is not what its header announces."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a file; ``start`` is the offset of the pixels."""

    kind: int
    width: int
    height: int
    maximum: int
    start: int

    @property
    def channels(self) -> int:
        """3 for colour, 1 for grey."""
        return 3 if self.kind in (3, 6) else 1


def header(data: bytes) -> Header:
    """Read the header of a file.

    Raises:
        MalformedPnm: it has no valid header, or one of more than 10,000 bytes.
    """
    head = data[:_MOST_HEADER]
    if not (size := _SIZE.match(head)):
        raise MalformedPnm("its header names no width and height")
    kind, width, height = (int(part) for part in size.groups())
    end, maximum = size.end(), 1
    if kind not in (1, 4):
        if not (found := _MAXIMUM.match(head, end)):
            raise MalformedPnm("its header does not name the largest value of a pixel")
        end, maximum = found.end(), int(found[1])
    if not width or not height or not 0 < maximum < 65_536 or not (after := re.compile(_BLANK).match(head, end)):
        raise MalformedPnm(f"its header announces {width} × {height} pixels up to {maximum}")
    return Header(kind, width, height, maximum, after.end())


def pixels(data: bytes, announced: Header) -> Pixels:
    """The first picture in a file, as uint8 [rows, columns] or [rows, columns, 3].

    Raises:
        MalformedPnm: there are fewer pixels than announced, or invalid ones.
    """
    shape = (announced.height, announced.width) + ((3,) if announced.channels == 3 else ())
    count = announced.width * announced.height * announced.channels
    if announced.kind in (1, 4):
        read = _bits_as_text if announced.kind == 1 else _bits
        return (255 * (1 - read(data, announced))).astype(np.uint8).reshape(shape)
    values = _numbers(data, announced, count) if announced.kind in (2, 3) else _binary(data, announced, count)
    if announced.maximum == 255 and values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False).reshape(shape)
    if values.max() > announced.maximum:
        raise MalformedPnm(f"it has pixels above {announced.maximum}, the largest value that its header announces")
    scale = (np.arange(announced.maximum + 1) * 255 / announced.maximum + 0.5).astype(np.uint8)
    return np.asarray(scale[values].reshape(shape))


def _binary(data: bytes, announced: Header, count: int) -> NDArray[np.uint8 | np.uint16]:
    kind = np.dtype(">u2" if announced.maximum > 255 else "u1")
    _enough(len(data) - announced.start, count * kind.itemsize)
    return np.frombuffer(data, kind, count, announced.start)


def _bits(data: bytes, announced: Header) -> NDArray[np.uint8]:
    row = (announced.width + 7) // 8
    _enough(len(data) - announced.start, row * announced.height)
    packed = np.frombuffer(data, np.uint8, row * announced.height, announced.start).reshape(announced.height, row)
    return np.unpackbits(packed, axis=1, count=announced.width)


def _bits_as_text(data: bytes, announced: Header) -> NDArray[np.uint8]:
    text = _text(data, announced).translate(None, b" \t\r\n\v\f")
    _enough(len(text), announced.width * announced.height)
    values = np.frombuffer(text, np.uint8, announced.width * announced.height) - ord("0")
    if values.max() > 1:
        raise MalformedPnm("it has pixels that are neither 0 nor 1")
    return values


def _numbers(data: bytes, announced: Header, count: int) -> NDArray[np.int64]:
    text = _text(data, announced)
    # Each pixel takes at least a digit and a blank, so text that is too short is refused before it is parsed.
    _enough((len(text) + 1) // 2, count)
    if not re.fullmatch(rb"[\d\s]*", text):
        raise MalformedPnm("it has something other than numbers")
    # Without a count, because NumPy would fill missing values with whatever is in memory.
    values: NDArray[np.int64] = np.fromstring(text.strip(), np.int64, sep=" ")
    _enough(values.size, count)
    return values[:count]


def _text(data: bytes, announced: Header) -> bytes:
    return _COMMENT.sub(b"", data[announced.start :])


def _enough(there: int, announced: int) -> None:
    if there < announced:
        raise MalformedPnm(f"it is cut off: it has {there} of {announced} values")
