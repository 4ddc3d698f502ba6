"""Reads ``facestream.toml``, the settings file of a home folder.

It has a line for each setting, by its name in small letters: ``retention_hours = 24``. This module is part of the
client too, so it needs nothing but Python.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from schemas.errors import FacestreamError

SETTINGS_FILE = "facestream.toml"
"""In the home folder; written by people."""
PREFIX = "FACESTREAM_"
"""Begins the names of the environment variables."""


class InvalidSettingsFile(FacestreamError):
    """The settings file cannot be used; the message names it and says what is wrong."""


def secret_from(path: Path | str, name: str) -> str:
    """The secret in a file, without white space around it, such as the end of its line.

    Args:
        path: the file.
        name: the environment variable that names it, for messages.

    Raises:
        InvalidSettingsFile: the file cannot be read, or is empty.
    """
    try:
        secret = Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise InvalidSettingsFile(f"{name}={path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidSettingsFile(f"{name}={path} is not UTF-8") from error
    if not secret:
        raise InvalidSettingsFile(f"{name}={path} is empty")
    return secret


def read(home: Path, known: Collection[str] | None = None) -> dict[str, Any]:
    """The settings in the file of a home; none if there is no file.

    Args:
        home: the folder of the file.
        known: the names that settings may have; None: not checked.

    Raises:
        InvalidSettingsFile: it cannot be read, is no TOML, or names something that is no setting.
    """
    path = home / SETTINGS_FILE
    try:
        values = tomllib.loads(path.read_text("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InvalidSettingsFile(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidSettingsFile(f"{path} is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettingsFile(f"{path} is not TOML: {error}; a line is such as `retention_hours = 24`") from error
    if known is not None:
        _check_names(path, values, known)
    return values


def _check_names(path: Path, values: Mapping[str, Any], known: Collection[str]) -> None:
    for name in values:
        if name == "home":
            raise InvalidSettingsFile(f"{path} sets home: that is the folder in which the file is; remove the line")
        if name not in known:
            plain = name.lower().replace("-", "_").removeprefix(PREFIX.lower())
            near = [plain] if plain in known else difflib.get_close_matches(plain, sorted({*known} - {"home"}), 1)
            hint = f"did you mean {near[0]}?" if near else "`facestream settings` lists all"
            raise InvalidSettingsFile(f"{path}: there is no setting {name}; {hint}")
