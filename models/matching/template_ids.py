"""Template ids in 16 bytes: the ids of events are UUIDs, as text five times as large."""

from __future__ import annotations

from hashlib import blake2b

ID_BYTES = 16
_LENGTH = 36


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
