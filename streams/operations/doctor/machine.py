"""Checks this machine: versions of packages, and whether its folders are writable and have room."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from streams.operations.doctor.finding import Finding, fail, ok, warn
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings

PINS = Path(__file__).parents[3] / "requirements" / "runtime.txt"
"""The versions that were tested together; part of a clone, but not of an installed package."""
_PYTHON = ((3, 11), (3, 14))
_SCARCE_BYTES, _LOW_BYTES = 1e9, 5e9
_PROBE_BYTES = 65_536
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def check(settings: Settings) -> Iterator[Finding]:
    """Check Python, packages and disk."""
    yield _python()
    yield _packages()
    for name, folder in {"home": settings.home, "data folder": settings.worker_dir("").parent}.items():
        yield _disk(name, folder)


def _python() -> Finding:
    seen = f"{platform.python_version()} at {sys.executable}"
    if not _PYTHON[0] <= sys.version_info[:2] < _PYTHON[1]:
        return fail("python", f"{seen}, which is not 3.11 to 3.13", Remedy.SET_UP())
    return ok("python", seen)


def _packages() -> Finding:
    wanted = _pinned() or _required()
    different, missing = [], []
    for requirement in wanted:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            different.append(f"{requirement.name} {version} ({requirement.specifier})")
    if missing:
        return fail("packages", f"not installed: {', '.join(missing)}", Remedy.SET_UP())
    if different:
        return warn("packages", f"other versions than tested: {', '.join(different)}", Remedy.SET_UP())
    return ok("packages", f"{len(wanted)} packages are as they should be")


def _pinned() -> list[Requirement]:
    if not PINS.exists():
        return []
    lines = PINS.read_text("utf-8").splitlines()
    return _here(line.rstrip("\\ ") for line in lines if line and not line.startswith((" ", "#")))


def _required() -> list[Requirement]:
    """The requirements of the installed package, which are ranges."""
    try:
        return _here(iter(metadata.requires("facestream") or []))
    except metadata.PackageNotFoundError:
        return []


def _here(lines: Iterator[str]) -> list[Requirement]:
    """The requirements that hold on this machine, without those of extras."""
    found = []
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found.append(requirement)
    return found


def _disk(name: str, folder: Path) -> Finding:
    setting = f"FACESTREAM_{'HOME' if name == 'home' else 'DATA_DIR'}"
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        _write(there)
    except OSError as error:
        full = error.errno in _NO_ROOM
        remedy = (Remedy.ROOM if full else Remedy.WRITABLE)(setting=setting)
        return fail(f"disk of the {name}", f"{there} cannot be written to: {error.strerror}", remedy)
    free = shutil.disk_usage(there).free
    seen = f"{free / 1e9:.1f} GB free at {folder.absolute()}"
    remedy = Remedy.ROOM(setting=setting)
    if free < _SCARCE_BYTES:
        return fail(f"disk of the {name}", seen, remedy)
    return warn(f"disk of the {name}", seen, remedy) if free < _LOW_BYTES else ok(f"disk of the {name}", seen)


def _write(folder: Path) -> None:
    """Write and remove a file, which also detects a quota, a lack of inodes, and a read-only disk.

    Raises:
        OSError: it does not go.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".facestream-doctor-") as file:
        file.write(bytes(_PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())
