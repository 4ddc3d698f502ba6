"""Finds a Python interpreter of a given version. This module needs only Python's standard library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

Version = tuple[int, int]


def find(first: Version, last: Version, variable: str) -> Path | None:
    """A working interpreter whose version is in the range, including both ends; None if there is none.

    The candidates are the interpreter in the environment variable, this interpreter, those on the path, and pyenv's
    versions, whose shims on the path do not run if another version is selected.
    """
    for candidate in _candidates(first, last, variable):
        version = _version(candidate)
        if version and first <= version <= last:
            return Path(candidate)
    return None


def fetch(uv: Path, version: Version) -> Path | None:
    """Download an interpreter with uv, into uv's folder of the user; None if that fails."""
    wanted = f"{version[0]}.{version[1]}"
    if subprocess.run([uv, "python", "install", wanted], check=False).returncode != 0:
        return None
    found = subprocess.run(
        [uv, "python", "find", "--managed-python", wanted], check=False, stdout=subprocess.PIPE, text=True
    )
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def _candidates(first: Version, last: Version, variable: str) -> Iterator[str]:
    if chosen := os.environ.get(variable):
        yield chosen
    yield getattr(sys, "_base_executable", sys.executable)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for minor in range(first[1], last[1] + 1):
        name = f"python{first[0]}.{minor}"
        if found := shutil.which(name):
            yield found
        yield from (str(path / "bin" / name) for path in sorted(pyenv.glob(f"{first[0]}.{minor}*"), reverse=True))


def _version(python: str) -> Version | None:
    code = "import sys; print(*sys.version_info[:2])"
    try:
        ran = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=False)
        major, minor = ran.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
