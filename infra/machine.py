"""Checks that the machine has what set-up needs. This module needs only Python's standard library."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import re
import shutil
import sys
from pathlib import Path

DISK_BYTES = 6_000_000_000

# System libraries that the packages load but do not include, other than the C library, with their system packages.
SYSTEM_LIBRARIES = {
    "libstdc++.so.6": {"apt-get": "libstdc++6", "dnf": "libstdc++", "zypper": "libstdc++6", "pacman": "gcc-libs"},
    "libgcc_s.so.1": {"apt-get": "libgcc-s1", "dnf": "libgcc", "zypper": "libgcc_s1", "pacman": "gcc-libs"},
    "libz.so.1": {"apt-get": "zlib1g", "dnf": "zlib-ng-compat", "zypper": "libz1", "pacman": "zlib"},
}
VENV = {"apt-get": f"python{sys.version_info[0]}.{sys.version_info[1]}-venv", "dnf": "python3", "zypper": "python3"}
INSTALL = {
    "apt-get": "apt-get install -y",
    "dnf": "dnf install -y",
    "zypper": "zypper install -y",
    "pacman": "pacman -S",
}


class Unsuitable(Exception):
    """Something is missing; the message names the command that installs it."""


def check(root: Path) -> None:
    """Check for problems that would make set-up fail late.

    Raises:
        Unsuitable: the message is one line about the first missing thing.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] != "glibc":
        raise Unsuitable("a Linux with the GNU C library is needed (TensorFlow has no packages for musl, as in Alpine)")
    if sys.platform == "linux":
        for library, packages in SYSTEM_LIBRARIES.items():
            if not _loads(library):
                raise Unsuitable(f"the system library {library} is missing: {install(packages)}")
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise Unsuitable(f"Python's venv and ensurepip are missing: {install(VENV)}")
    free = shutil.disk_usage(root).free
    if free < DISK_BYTES and not (root / ".venv").exists():
        raise Unsuitable(f"{DISK_BYTES / 1e9:.0f} GB of disk space are needed at {root}, {free / 1e9:.1f} GB are free")


def missing_library(output: str) -> str | None:
    """What to do about a shared library that a program's output says is missing; None if it says no such thing."""
    found = re.search(r"(lib[\w.+-]+\.so[\d.]*): cannot open shared object file", output)
    if not found:
        return None
    packages = SYSTEM_LIBRARIES.get(found[1])
    how = install(packages) if packages else f"`apt-file search {found[1]}` or `dnf provides '*/{found[1]}'` names it"
    return f"the system library {found[1]} is missing: {how}"


def install(packages: dict[str, str]) -> str:
    """The command that installs a package with this machine's package manager."""
    for manager, package in packages.items():
        if shutil.which(manager):
            return f"`{INSTALL[manager]} {package}` installs it"
    return "install it: " + ", ".join(f"{package} ({manager})" for manager, package in packages.items())


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
