"""Which processes go first on a busy machine."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_NICE = 10
"""A tenth of a processor that others want too."""


def give_way(leader: int) -> None:
    """Let others go before the processes of a session, of which there is one process group; as far as the system lets.

    Linux shares processors out among sessions before it looks at what is nice within one (``man 7 sched``, "The
    autogroup feature"), so there the session is made nice too.
    """
    autogroup = Path(f"/proc/{leader}/autogroup")
    with suppress(OSError):
        os.setpriority(os.PRIO_PGRP, leader, _NICE)
        for _ in range(20 if autogroup.exists() else 0):
            try:
                autogroup.write_text(str(_NICE))
                return
            except BlockingIOError:  # It may be written ten times a second, by all users together.
                time.sleep(0.1)
