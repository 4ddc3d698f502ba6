"""Template ids in 16 bytes: the ids of events are UUIDs, as text five times as large."""

from __future__ import annotations

from hashlib import blake2b

ID_BYTES = 16


def packed(template_id: str) -> bytes:
    """The bytes of a UUID in canonical form; a digest of any other id, see :func:`is_packed_as_digest`."""
    raw = _uuid(template_id)
    return (
        raw if raw is not None else blake2b(template_id.encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).digest()
    )


def is_packed_as_digest(template_id: str) -> bool:
    """Whether an id cannot be unpacked again."""
    return _uuid(template_id) is None


def unpacked(raw: bytes) -> str:
    """The UUID with these bytes, in lower case with dashes."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _uuid(template_id: str) -> bytes | None:
    try:
        raw = bytes.fromhex(template_id.replace("-", "")) if len(template_id) == 36 else b""
    except ValueError:
        return None
    return raw if len(raw) == ID_BYTES and unpacked(raw) == template_id else None
