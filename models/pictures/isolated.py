"""Decodes formats whose decoders crash on damaged files: each picture in a process of its own.

A decoder that crashes, hangs or misbehaves affects only its own process; the next picture gets a new one. This costs a
tenth of a second per picture.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image

_READER = str(Path(__file__).with_name("isolated_reader.py"))
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG")
"""The variables that the process inherits. It gets no others, because they may hold passwords."""
_LONGEST_S = 120.0
"""Limit of wall-clock time, for a process that hangs; it has a limit of processor time of its own."""
_MODES = {"L": 1, "RGB": 3, "RGBA": 4}
_ENDS: dict[int, str] = {
    signal.SIGXCPU: "it takes more processor time than a picture of its size may",
    signal.SIGSEGV: "its decoder crashed on it",
    signal.SIGABRT: "its decoder crashed on it",
    signal.SIGBUS: "its decoder crashed on it",
    signal.SIGFPE: "its decoder crashed on it",
    signal.SIGILL: "its decoder crashed on it",
    signal.SIGTRAP: "its decoder crashed on it",
}


class UnreadablePicture(ValueError):
    """The picture is damaged or hostile; the message says what went wrong."""


class TooManyPixels(ValueError):
    """The picture's header announces more pixels than allowed."""


class Interrupted(Exception):
    """The process could not be started, or was killed from outside, which says nothing about the picture."""


def read(data: bytes, max_pixels: int) -> tuple[Image.Image, tuple[int, int]]:
    """Decode a HEIF or JPEG 2000 picture.

    Args:
        data: the file.
        max_pixels: a picture with more pixels is not decoded.

    Returns:
        The upright picture (mode L, RGB or RGBA), reduced if a side has 4,000 pixels or more; and its full size.

    Raises:
        UnreadablePicture: it is damaged or hostile.
        TooManyPixels: it has more than ``max_pixels``.
        Interrupted: the process could not be started, or was killed from outside.
    """
    try:
        ended = subprocess.run(
            [sys.executable, "-I", _READER, str(max_pixels)],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
            timeout=_LONGEST_S,
            check=False,
            # Ctrl-C must reach only the worker, which then finishes its batch.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadablePicture(f"its decoder was not done after {_LONGEST_S:.0f} s") from error
    except OSError as error:
        raise Interrupted(f"no process could be started to decode it: {error}") from error
    if ended.returncode:
        if why := _ENDS.get(-ended.returncode):
            raise UnreadablePicture(why)
        raise Interrupted(f"the process that decoded it ended with {ended.returncode}")
    line, _, pixels = ended.stdout.partition(b"\n")
    try:
        head = json.loads(line)
    except ValueError:
        head = None
    return _picture(head, pixels, max_pixels)


def _picture(head: object, pixels: bytes, max_pixels: int) -> tuple[Image.Image, tuple[int, int]]:
    match head:
        case {"pixels": [int(width), int(height)]}:
            raise TooManyPixels(f"{width} × {height} = {width * height} pixels; at most {max_pixels} are allowed")
        case {"of": [int(width), int(height)], "size": [int(columns), int(rows)], "mode": str(mode)}:
            if mode in _MODES and len(pixels) == columns * rows * _MODES[mode]:
                return Image.frombytes(mode, (columns, rows), pixels), (width, height)
        case {"error": str(error)}:
            raise UnreadablePicture(error)
    raise UnreadablePicture("its decoder gave no picture")
