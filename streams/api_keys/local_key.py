"""The key that a stack on this machine makes for whoever runs it, in a file that only he can read."""

from __future__ import annotations

import os
from pathlib import Path

from schemas.access import Scope
from streams.api_keys.secrets import PresentedKey, parsed_key
from streams.api_keys.store import create_key, list_keys
from streams.settings import Settings

KEY_FILE = "gateway.key"
"""In the home folder."""


def local_key(settings: Settings, folder: Path) -> PresentedKey:
    """The key in the folder, if it still counts; otherwise a new one for everything, which is written there.

    Raises:
        KafkaUnavailable: no broker answers.
        OSError: the file cannot be written.
    """
    path = folder / KEY_FILE
    kept = parsed_key(path.read_text("utf-8").strip()) if path.exists() else None
    if kept is not None and _counts(kept, settings):
        return kept
    key, _ = create_key(settings, list(Scope), all_users=True, name="made by facestream up")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key.text + "\n")
    return key


def _counts(key: PresentedKey, settings: Settings) -> bool:
    record = next((one for one in list_keys(settings) if one.key_id == key.key_id), None)
    return record is not None and record.revoked_at is None and key.fits(record.secret_sha256)
