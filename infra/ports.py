"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
FIRST, LAST = 15_000, 31_999
"""Below the range from which Linux and macOS give ports to outgoing connections, so none takes a port in between."""


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_open(port: int) -> bool:
    """Whether a server listens on this port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def free_ports(count: int) -> list[int]:
    """So many different ports on which nothing listens; somebody may still take one before it is used."""
    ports: set[int] = set()
    while len(ports) < count:
        port = random.randint(FIRST, LAST)
        if is_free(port):
            ports.add(port)
    return list(ports)
