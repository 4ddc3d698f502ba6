"""TCP ports on the loopback interface: free ones, and those that the services of a folder keep."""

from __future__ import annotations

import random
import socket
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
FIRST, LAST = 15_000, 31_999
"""The range of ports, below those of outgoing connections on Linux and macOS, so that no connection takes one."""


class ServicePorts(NamedTuple):
    """The ports that the services should have; where one is taken, a free one is used and said."""

    kafka: int
    controller: int
    redis: int
    bigquery_rest: int
    bigquery_grpc: int

    @classmethod
    def after(cls, base: int) -> ServicePorts:
        """Consecutive ports from ``base`` on."""
        return cls(*range(base, base + len(cls._fields)))


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
    """Different ports on which nothing listens. Another process may still take one before it is used."""
    ports: set[int] = set()
    while len(ports) < count:
        port = random.randint(FIRST, LAST)
        if is_free(port):
            ports.add(port)
    return list(ports)
