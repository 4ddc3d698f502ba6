"""The folder of downloads that all clones of a user share. This module needs only Python's standard library."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

IN_CLONE = Path(__file__).parents[1] / ".cache"
"""The folder for downloads if the user's cache cannot be written."""


def cache_dir() -> Path:
    """facestream's folder in the user's cache; the variable ``FACESTREAM_CACHE`` overrides it."""
    if chosen := os.environ.get("FACESTREAM_CACHE"):
        return Path(chosen).expanduser().absolute()
    return user_caches() / "facestream"


def user_caches() -> Path:
    """The folder in which this user's programs have their caches."""
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache")


def cached(name: str) -> Path:
    """The path of an entry of the cache, whether it exists or not.

    It is in the clone if the user's cache does not have the entry and cannot be written, as with a read-only HOME.
    """
    usual, in_clone = cache_dir() / name, IN_CLONE / "facestream" / name
    if usual.exists() or os.environ.get("FACESTREAM_CACHE"):
        return usual
    return in_clone if in_clone.exists() or not is_writable(usual.parent) else usual


def is_writable(folder: Path) -> bool:
    """Whether files can be created in a folder, which is created if it does not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def redirected() -> dict[str, str]:
    """Environment variables that redirect the installer from a user's cache that cannot be written; else none."""
    if is_writable(user_caches()):
        return {}
    folders = {"UV_CACHE_DIR": "uv", "UV_PYTHON_INSTALL_DIR": "python", "PIP_CACHE_DIR": "pip"}
    return {name: str(IN_CLONE / folder) for name, folder in folders.items() if name not in os.environ}


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # neither HOME nor an entry of this user
        return Path(os.sep)
