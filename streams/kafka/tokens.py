"""Tokens of SASL's OAUTHBEARER, from a file that another program keeps fresh."""

from __future__ import annotations

import base64
import binascii
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from streams.settings_file import secret_from

_FILE_S = 60.0
"""How long a token from a file counts as valid if it does not say."""
_EARLY_S = 30.0
"""A token that ends sooner is not used for a new connection."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and the time at which it ends, in seconds since 1970."""

    value: str = field(repr=False)
    expires_at: float


class TokenSource:
    """Gives a token that is valid, and asks for a new one shortly before its end. Threads may share it."""

    def __init__(self, name: str, make: Callable[[], Token]) -> None:
        self.name = name
        self._make = make
        self._last: Token | None = None
        self._lock = threading.Lock()

    def token(self) -> Token:
        """The present token.

        Raises:
            InvalidSettingsFile: its file cannot be read.
        """
        with self._lock:
            if self._last is None or self._last.expires_at - time.time() < _EARLY_S:
                self._last = self._make()
            return self._last


def tokens_in(path: Path | str) -> TokenSource:
    """The tokens in a file that another program keeps fresh, such as Kubernetes."""
    return TokenSource(os.fspath(path), lambda: _of_file(path))


def _of_file(path: Path | str) -> Token:
    value = secret_from(path, "FACESTREAM_KAFKA_TOKEN_FILE")
    return Token(value, _end_of_jwt(value) or time.time() + _FILE_S)


def _end_of_jwt(value: str) -> float | None:
    """The claim ``exp`` of a JSON web token (RFC 7519, 4.1.4)."""
    try:
        part = value.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None
