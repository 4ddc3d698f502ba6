"""Checks the segments of a JPEG file, because hostile ones cost minutes, and removes stray bytes between them.

Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re

_MOST_SEGMENTS = 1_000
MOST_SCANS = 24
"""Most scans of a picture. Progressive encoders write about ten, at most eighteen; each is a pass over all pixels."""
_START_OF_SCAN, _END = 0xDA, 0xD9
_FILL = re.compile(rb"\xff*")
_MOST_FILL = 1_000
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]")
"""Ends the pixels of a scan: a marker of another segment, or of the end of the picture."""


class HostileJpeg(ValueError):
    """The file would take more work to decode than any that an encoder writes."""


def cleaned(data: bytes) -> bytes:
    """Check a file, and return it without the stray bytes that some cameras write between its first segments.

    Raises:
        HostileJpeg: it has more segments, fill bytes or scans than any encoder writes.
    """
    parts, start, at = [], 0, 2
    for _ in range(_MOST_SEGMENTS):
        marker = data.find(b"\xff", at)
        if marker < 0:
            break
        if marker > at:
            parts.append(data[start:at])
            start = marker
        found = _FILL.match(data, marker)
        code = found.end() if found else marker + 1
        if code - marker > _MOST_FILL:
            raise HostileJpeg(f"more than {_MOST_FILL} fill bytes before a marker")
        if code + 2 >= len(data):
            break
        if data[code] == _START_OF_SCAN:
            _check_scans(data, code)
            break
        at = _behind(data, code)
    else:
        raise HostileJpeg(f"more than {_MOST_SEGMENTS} segments before the first scan")
    return b"".join([*parts, data[start:]]) if parts else data


def _check_scans(data: bytes, code: int) -> None:
    """Count the scans from the first one's marker code to the end of the picture, which others may follow."""
    scans = 1
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, _behind(data, code))
        if found is None or data[code := found.end() - 1] == _END:
            return
        scans += data[code] == _START_OF_SCAN
        if scans > MOST_SCANS:
            raise HostileJpeg(
                f"more than {MOST_SCANS} scans, each of which costs a pass over the picture: save it as a baseline JPEG"
            )
    raise HostileJpeg(f"more than {_MOST_SEGMENTS} segments between its scans")


def _behind(data: bytes, code: int) -> int:
    """The end of a segment, given the position of its marker's code."""
    return code + 1 + int.from_bytes(data[code + 1 : code + 3], "big")
