"""The folder for what is downloaded once and shared by every clone of this user."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """The user's cache folder of facestream; the variable ``FACESTREAM_CACHE`` overrides it."""
    if chosen := os.environ.get("FACESTREAM_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "facestream"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facestream"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
