"""Who runs this process, for records that say who made them."""

from __future__ import annotations

import getpass
import socket


def made_by() -> str:
    """The user and host, as ``user@host``."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
