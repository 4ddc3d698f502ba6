"""Runs a program that does not outlive its parent: ``python child.py PARENT_PID PROGRAM ARGUMENT…``.

On Linux, the kernel is asked to send SIGKILL when the parent dies, and then the program replaces this process.
Elsewhere, this process stays and watches the parent. A separate process does this, so that no code runs between fork
and exec in a parent with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

PR_SET_PDEATHSIG = 1
CANNOT_RUN = 127
ORPHANED = 125


def command(argv: list[str]) -> list[str]:
    """The command that runs argv as a child that ends with this process.

    On Linux the thread that forks counts as the parent, so it has to live as long as the child should.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def start(argv: Sequence[str], *, log: IO[bytes], env: Mapping[str, str], cwd: Path | None) -> subprocess.Popen[bytes]:
    """Start argv in a session of its own, as a child that ends with this process, with both outputs in ``log``."""
    return subprocess.Popen(
        command([*argv]),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )


def main(parent: int, argv: list[str]) -> int:
    """Run argv until it or the parent ends; return its exit code if it could not replace this process."""
    # Python ignores SIGPIPE, and ignored signals stay ignored after exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        if sys.platform != "linux":
            return watch(parent, argv)
        if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            return watch(parent, argv)
        if os.getppid() != parent:
            return ORPHANED
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.stderr.write(f"cannot run {argv[0]}: {error.strerror or error}\n")
        return CANNOT_RUN


def watch(parent: int, argv: list[str], every_s: float = 0.2) -> int:
    """Run argv as a child of this process, and kill the whole process group when the parent has died."""
    child = subprocess.Popen(argv)

    def forward(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)
    while True:
        try:
            code = child.wait(every_s)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                os.killpg(0, signal.SIGKILL)
        else:
            return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
