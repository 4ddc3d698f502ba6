"""The segments of a JPEG file before its pixels: hostile ones cost minutes, stray bytes between them are left out.

Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re

_MOST_SEGMENTS = 1_000
_MOST_SCANS = 100
"""Progressive encoders write about ten; each one costs a pass over the whole picture."""
_START_OF_SCAN = 0xDA
_FILL = re.compile(rb"\xff*")
_MOST_FILL = 1_000


class HostileJpeg(ValueError):
    """The file asks for more work than any encoder's would."""


def cleaned(data: bytes) -> bytes:
    """The file without stray bytes between its first segments, as some cameras write them.

    Raises:
        HostileJpeg: more segments, fill bytes or scans than any encoder writes.
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
            if (scans := data.count(bytes([0xFF, _START_OF_SCAN]), marker)) > _MOST_SCANS:
                raise HostileJpeg(f"{scans} scans, {_MOST_SCANS} are allowed")
            break
        at = code + 1 + int.from_bytes(data[code + 1 : code + 3], "big")
    else:
        raise HostileJpeg(f"more than {_MOST_SEGMENTS} segments before the first scan")
    return b"".join([*parts, data[start:]]) if parts else data
