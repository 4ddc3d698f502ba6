"""A process in the place of a container: with the volumes at their paths and everything else read-only.

It has the machine's network, users and processes, so that the real programs of this clone run without an image.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CLONE = Path(__file__).parents[2]
HOME = "/facestream"
"""As /var/lib/facestream in the image: it is there, and nothing can be written to it."""
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
# The files of the interpreter, the clone and the user's cache, which a volume at /tmp may hide.
_SEEN = [CLONE, Path(sys.base_prefix), Path.home()]


@dataclass(frozen=True)
class Mount:
    """A folder of this machine at a path of the container."""

    source: Path
    target: str
    read_only: bool


def start(
    command: Sequence[str],
    environment: Mapping[str, str],
    mounts: Sequence[Mount],
    root: Path,
    name: str,
    log: IO[bytes],
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own; ``root`` is an empty folder, and ``name`` the name of its host."""
    root.mkdir(parents=True, exist_ok=True)
    script = _script(command, mounts, root, name)
    return subprocess.Popen(
        ["unshare", *_as_root(), "--mount", "--uts", "sh", "-ec", script],
        env={
            "PATH": f"{CLONE / '.venv' / 'bin'}:{_PATH}",
            "HOME": HOME,
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def run_in(process: subprocess.Popen[bytes], command: Sequence[str], timeout_s: float) -> bool:
    """Whether a command succeeds in the container of a process."""
    user = ["--user"] if _as_root() else []
    inside = ["nsenter", "--target", str(process.pid), *user, "--mount", "--root", "--", *command]
    try:
        ended = subprocess.run(
            inside,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def _as_root() -> list[str]:
    return [] if os.getuid() == 0 else ["--map-root-user"]


def _script(command: Sequence[str], mounts: Sequence[Mount], root: Path, name: str) -> str:
    at = shlex.quote(str(root))
    tops = {Path(mount.target).parts[1] for mount in mounts}
    lines = [f"hostname {shlex.quote(name)}", "mount --make-rprivate /", f"mount -t tmpfs -o size=4m root {at}"]
    for top in sorted(Path("/").iterdir()):
        there = shlex.quote(f"{root}{top}")
        if top.is_symlink():
            lines.append(f"cp -P {shlex.quote(str(top))} {there}")
        elif top.is_dir() and top.name not in tops:
            lines += [f"mkdir {there}", f"mount --rbind {shlex.quote(str(top))} {there}"]
            if top.name not in ("proc", "dev", "sys"):
                lines.append(f"mount -o remount,bind,ro {there}")
    lines.append(f"mkdir {shlex.quote(f'{root}{HOME}')}")
    for mount in mounts:
        source, there = shlex.quote(str(mount.source)), shlex.quote(f"{root}{mount.target}")
        lines += [f"mkdir -p {there}", f"mount --bind {source} {there}"]
        if mount.read_only:
            lines.append(f"mount -o remount,bind,ro {there}")
    for path in _SEEN:
        if path.parts[1] in tops:
            there = shlex.quote(f"{root}{path}")
            lines += [f"mkdir -p {there}", f"mount --bind {shlex.quote(str(path))} {there}"]
    lines += [f"mount -o remount,ro {at}", f"cd {shlex.quote(f'{root}{HOME}')}"]
    inside = f"cd {HOME}; exec {shlex.join(command)}"
    lines.append(f"exec chroot {at} /bin/sh -ec {shlex.quote(inside)}")
    return "\n".join(lines)
