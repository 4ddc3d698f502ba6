"""The secrets of hooks, and what they sign (Standard Webhooks 1.0.0: https://www.standardwebhooks.com).

A receiver has to know its secret, and whoever signs needs it in plain; so a digest, as of the gateway's keys, does not
do. No secret is kept: each is made with a key that lies in a file of the installation, which only ``facestream hooks``,
the gateway and the workers of the role read, from the hook's id, address, user and kinds. The topic ``hooks`` has these
and a digest of the secret, which do not tell it. So a hook that somebody without the key has written, or has given
another address, is not served either: its digest does not fit.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from schemas.errors import FacestreamError
from schemas.hooks import Hook
from streams.settings import Settings

_LEAST_CHARACTERS = 32
_PURPOSE = b"facestream hook secret 1 "


class NoHookKey(FacestreamError):
    """The key file is missing, cannot be used, or is not the one with which a hook was made."""


@dataclass(frozen=True, slots=True)
class HookSecret:
    """The secret of one hook, 32 bytes; its ``repr`` does not show it."""

    raw: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """As it is given to the receiver."""
        return "whsec_" + base64.b64encode(self.raw).decode()

    @property
    def digest(self) -> bytes:
        """What is kept of it, 32 bytes."""
        return sha256(self.raw).digest()

    def signature(self, message_id: str, timestamp: int, body: bytes) -> str:
        """The value of the header ``webhook-signature``; ``timestamp`` is in seconds since 1970."""
        signed = f"{message_id}.{timestamp}.".encode() + body
        return "v1," + base64.b64encode(hmac.digest(self.raw, signed, "sha256")).decode()


@dataclass(frozen=True, slots=True)
class HookKey:
    """The installation's key, of which the secrets are made."""

    raw: bytes = field(repr=False)

    def secret(self, hook_id: str, address: str, user_id: str | None, kinds: Sequence[str]) -> HookSecret:
        """The secret of a hook with this id, for these events and this address only."""
        bound = json.dumps([hook_id, address, user_id, list(kinds)]).encode()
        return HookSecret(hmac.digest(self.raw, _PURPOSE + bound, "sha256"))

    def secret_of(self, hook: Hook) -> HookSecret:
        """The secret of a hook that was made before.

        Raises:
            NoHookKey: it was made with another key, or changed by somebody without it.
        """
        secret = self.secret(hook.hook_id, hook.address, hook.user_id, hook.kinds)
        if not hmac.compare_digest(secret.digest, hook.secret_sha256):
            raise NoHookKey("the hook was not made with this key file: set FACESTREAM_HOOK_KEY_FILE alike everywhere")
        return secret


def load_hook_key(settings: Settings) -> HookKey:
    """The installation's key.

    Raises:
        NoHookKey: there is none, or it cannot be used.
    """
    path = settings.hook_key_path
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise NoHookKey(f"the key of the hooks cannot be read: {path}: {error}") from error
    if len(text) < _LEAST_CHARACTERS:
        raise NoHookKey(f"{path} has fewer than {_LEAST_CHARACTERS} characters: that is no key")
    return HookKey(text.encode())


def load_or_make_hook_key(settings: Settings) -> HookKey:
    """The installation's key; where there is no file, a new one is made, which only its owner can read.

    Raises:
        NoHookKey: it cannot be read or made.
    """
    path = settings.hook_key_path
    if not path.exists():
        _make(path)
    return load_hook_key(settings)


def _make(path: Path) -> None:
    # Written beside it and then linked: who makes it at the same time, or reads it, sees a whole one.
    partial = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        try:
            path.hardlink_to(partial)
        except FileExistsError:
            return
        finally:
            partial.unlink()
    except OSError as error:
        raise NoHookKey(f"no key for the hooks can be made: {path}: {error}") from error
