"""Lowers the priority of processes on a busy machine."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_NICE = 10
"""At this niceness, a process gets a tenth of a processor that others want too."""


def give_way(leader: int) -> None:
    """Lower the priority of the processes of a session with one process group, as far as the system permits.

    Linux divides processors among sessions before it considers niceness within a session (``man 7 sched``, "The
    autogroup feature"), so there the niceness of the session is set too.
    """
    autogroup = Path(f"/proc/{leader}/autogroup")
    with suppress(OSError):
        os.setpriority(os.PRIO_PGRP, leader, _NICE)
        for _ in range(20 if autogroup.exists() else 0):
            try:
                autogroup.write_text(str(_NICE))
                return
            except BlockingIOError:  # Linux allows ten writes a second, for all users together.
                time.sleep(0.1)
