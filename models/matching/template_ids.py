"""Template ids in 16 bytes: the ids of events are UUIDs, as text five times as large."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

ID_BYTES = 16
_LENGTH = 36
_DASHES = [8, 13, 18, 23]
_DIGITS = [at for at in range(_LENGTH) if at not in _DASHES]
_FEW = 8
"""Ids that are packed one after another: sooner than with the overhead of doing it at once."""
_NO_DIGIT = 255
_VALUES = np.full(256, _NO_DIGIT, np.uint8)
_VALUES[list(b"0123456789abcdef")] = np.arange(16)


def packed(template_id: str) -> bytes:
    """The bytes of a UUID in canonical form; a digest of any other id, which cannot be unpacked."""
    try:
        raw = bytes.fromhex(template_id.replace("-", "")) if len(template_id) == _LENGTH else b""
    except ValueError:
        raw = b""
    if len(raw) == ID_BYTES and unpacked(raw) == template_id:
        return raw
    return blake2b(template_id.encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).digest()


def unpacked(raw: bytes) -> str:
    """The UUID with these bytes, in lower case with dashes."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def packed_all(template_ids: Sequence[str]) -> tuple[list[bytes], list[int]]:
    """The bytes of each, and at which places the ids are whose bytes are a digest."""
    text = "".join(template_ids)
    if len(template_ids) <= _FEW or not text.isascii() or set(map(len, template_ids)) != {_LENGTH}:
        raw = list(map(packed, template_ids))
        return raw, [at for at, one in enumerate(raw) if unpacked(one) != template_ids[at]]
    characters = np.frombuffer(text.encode(), np.uint8).reshape(-1, _LENGTH)
    digits = _VALUES[characters[:, _DIGITS]]
    is_uuid = (digits != _NO_DIGIT).all(axis=1) & (characters[:, _DASHES] == ord("-")).all(axis=1)
    pairs = (digits[:, ::2] << 4 | digits[:, 1::2]).tobytes()
    raw = [pairs[start : start + ID_BYTES] for start in range(0, len(pairs), ID_BYTES)]
    digested = np.flatnonzero(~is_uuid).tolist()
    for at in digested:
        raw[at] = packed(template_ids[at])
    return raw, digested
