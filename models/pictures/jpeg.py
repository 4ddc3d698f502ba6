"""The segments of a JPEG file: hostile ones cost minutes, stray bytes between the first of them are left out.

Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re

_MOST_SEGMENTS = 1_000
MOST_SCANS = 24
"""Progressive encoders write about ten, at most eighteen; each one costs a pass over the whole picture."""
_START_OF_SCAN, _END = 0xDA, 0xD9
_FILL = re.compile(rb"\xff*")
_MOST_FILL = 1_000
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]")
"""What ends the pixels of a scan: a marker with a segment behind it, or the end of the picture."""


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
            _check_scans(data, code)
            break
        at = _behind(data, code)
    else:
        raise HostileJpeg(f"more than {_MOST_SEGMENTS} segments before the first scan")
    return b"".join([*parts, data[start:]]) if parts else data


def _check_scans(data: bytes, code: int) -> None:
    """Count the scans from the first one's marker code to the end of the picture; other pictures may follow it."""
    scans = 1
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, _behind(data, code))
        if found is None or data[code := found.end() - 1] == _END:
            return
        scans += data[code] == _START_OF_SCAN
        if scans > MOST_SCANS:
            raise HostileJpeg(
                f"more than {MOST_SCANS} scans, each of which costs a pass over the picture: save it as a plain JPEG"
            )
    raise HostileJpeg(f"more than {_MOST_SEGMENTS} segments between its scans")


def _behind(data: bytes, code: int) -> int:
    """Where a segment ends, given the place of its marker's code."""
    return code + 1 + int.from_bytes(data[code + 1 : code + 3], "big")
