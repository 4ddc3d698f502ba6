"""Reads the file that lists many cameras: TOML, with a table ``[[camera]]`` for each and ``[defaults]`` for all."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from schemas.errors import FacestreamError
from schemas.ids import InvalidId, checked_name
from streams.cameras.captures import JPEG_QUALITY, STREAM_SCHEMES

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class InvalidCameras(FacestreamError):
    """The file cannot be used; the message says which part, and never shows an address, which may hold a password."""


def _name(what: str) -> BeforeValidator:
    def checked(value: object) -> str:
        try:
            return checked_name(what, value)
        except InvalidId as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(checked)


class Camera(BaseModel):
    """One camera of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, _name("name")]
    """The ``camera_id`` of its frames."""
    source: SecretStr
    """A folder, a picture, a video file, the number of a camera, or an address; it may hold a password."""
    user: Annotated[str, _name("user")] = "default"
    """Owner of the gallery that is asked."""
    fps: float = Field(5.0, ge=0, le=1_000)
    """Most frames a second that are sent, 0: all."""
    motion: bool = True
    """Whether frames in which nothing moves are left out."""
    still_every_s: float = Field(10.0, ge=0)
    """Seconds after which one is sent all the same, 0: never."""
    quality: int = Field(JPEG_QUALITY, ge=1, le=100)
    """Of the JPEGs of a live camera."""
    mode: Literal["identify", "search"] = "identify"
    """The question about each face."""
    loop: bool = False
    """Whether a folder or video begins anew at its end."""


def read_cameras(path: Path, environment: Mapping[str, str] = os.environ) -> list[Camera]:
    """The cameras that a file lists.

    ``${NAME}`` in a source stands for an environment variable, so that passwords need not be in the file. Files and
    folders are relative to it.

    Raises:
        InvalidCameras: the file cannot be read, or is not as it should be.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidCameras(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidCameras(f"{path} is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidCameras(f"{path} is not TOML: {error}") from error
    if unknown := sorted(tables.keys() - {"defaults", "camera"}):
        raise InvalidCameras(f"{path}: there is no {unknown[0]}, only [defaults] and a [[camera]] for each camera")
    listed, defaults = tables.get("camera", []), tables.get("defaults", {})
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed) or not listed:
        raise InvalidCameras(f"{path} lists no camera: each begins with a line [[camera]]")
    if not isinstance(defaults, dict):
        raise InvalidCameras(f"{path}: defaults must be a table: a line [defaults]")
    if given := sorted(defaults.keys() & {"name", "source"}):
        raise InvalidCameras(f"{path}: {given[0]} is each camera's own, and cannot be a default")
    cameras = [_camera(path, number, defaults | one, environment) for number, one in enumerate(listed, 1)]
    seen: dict[tuple[str, str], int] = {}
    for number, camera in enumerate(cameras, 1):
        if (before := seen.setdefault((camera.user, camera.name), number)) != number:
            raise InvalidCameras(
                f"{path}: cameras {before} and {number} of user {camera.user!r} are both {camera.name!r}"
            )
    return cameras


def _camera(path: Path, number: int, table: dict[str, Any], environment: Mapping[str, str]) -> Camera:
    name = table.get("name")
    where = f"{path}: camera {number}" + (f" ({name})" if isinstance(name, str) and name else "")
    if isinstance(table.get("source"), int) and not isinstance(table["source"], bool):
        table["source"] = str(table["source"])
    if isinstance(table.get("source"), str):
        table["source"] = _located(path, _filled(where, table["source"], environment))
    for key, value in table.items():
        # TOML tells 5 from 5.0; people do not.
        if isinstance(value, int) and not isinstance(value, bool) and key in ("fps", "still_every_s"):
            table[key] = float(value)
    try:
        return Camera(**table)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, Camera.model_fields, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(Camera.model_fields)}"
            raise InvalidCameras(f"{where} has an unknown key {key}; {hint}") from None
        if first["type"] == "missing":
            raise InvalidCameras(f"{where} has no {key}") from None
        said = first["msg"].removeprefix("Value error, ")
        raise InvalidCameras(f"{where}: {key} cannot be used: {said[0].lower()}{said[1:]}") from None


def _filled(where: str, source: str, environment: Mapping[str, str]) -> str:
    """A source with its variables' values; in an address any character of a password may stand."""
    is_address = source.startswith(STREAM_SCHEMES)

    def value(found: re.Match[str]) -> str:
        if found[1] not in environment:
            raise InvalidCameras(f"{where}: the environment has no variable {found[1]}, which source names")
        given = environment[found[1]]
        return quote(given, safe="") if is_address else given

    return _VARIABLE.sub(value, source)


def _located(path: Path, source: str) -> str:
    if source.isdecimal() or source.startswith(STREAM_SCHEMES) or not source:
        return source
    return str(path.parent / Path(source).expanduser())
