"""What a key looks like, and what of it is kept.

A key is ``fs_<key id>_<secret>``. The id is public and finds the record; the secret has 256 random bits, so that a
plain SHA-256 of it cannot be reversed by guessing, which is what slow digests of passwords are for.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
from dataclasses import dataclass
from hashlib import sha256

_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 10
_SECRET_LENGTH = 43
"""62 to the 43rd is more than 2 to the 256th."""
_KEY = re.compile(rf"fs_([A-Za-z0-9]{{{_ID_LENGTH}}})_([A-Za-z0-9]{{{_SECRET_LENGTH}}})")


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A key as somebody presents it."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        """Without the secret, which must not come into a log."""
        return f"PresentedKey({self.key_id!r})"

    @property
    def text(self) -> str:
        """The whole key, to be shown once."""
        return f"fs_{self.key_id}_{self.secret}"

    @property
    def digest(self) -> bytes:
        """What is kept of the secret, 32 bytes."""
        return sha256(self.secret.encode("ascii")).digest()

    def fits(self, digest: bytes) -> bool:
        """Whether the secret is the one of this digest; compared in constant time."""
        return hmac.compare_digest(self.digest, digest)


def new_key() -> PresentedKey:
    """A key that nobody has."""
    return PresentedKey(_random(_ID_LENGTH), _random(_SECRET_LENGTH))


def parsed_key(text: str) -> PresentedKey | None:
    """The parts of a key; None if the text has not its form."""
    found = _KEY.fullmatch(text)
    return None if found is None else PresentedKey(found[1], found[2])


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
