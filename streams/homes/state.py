"""What the stack of a home does now: its services and workers, each with its state, address and restarts."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from streams.homes.run import Run, announced, current
from streams.roles import Role

STATE_FILE = "state.json"
"""In the home folder while a stack runs there; the supervisor writes it, see ``infra.child_states``."""
SERVICES = ("kafka", "redis", "bigquery", "gateway")
"""The names of the services among the children."""
_ADDRESSES = {"kafka": ("kafka",), "redis": ("redis_url",), "bigquery": ("bigquery_rest", "bigquery_grpc")}
_BEGINS, _WAITS, _ENDS = "starting", "restarting", "stopped"


class Phase(StrEnum):
    """How far the stack of a home is."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Child:
    """A service or a worker; ``since`` and ``restart_at`` are seconds since 1970."""

    name: str
    state: str
    pid: int | None
    since: float
    deaths: int
    """How often it has died unexpectedly since the start of the stack."""
    died_at: float | None
    """When it died last."""
    exit_code: int | None
    restart_at: float | None
    log: str | None
    addresses: tuple[str, ...] = ()
    """Where a service listens, or where a worker serves its health and metrics."""

    @property
    def role(self) -> Role | None:
        """The role of a worker; None for a service."""
        name = self.name.rpartition("-")[0]
        return Role(name) if name in {str(one) for one in Role} else None

    @property
    def comes_back(self) -> bool:
        """Whether it is being started or restarted, so that one only has to wait for it."""
        return self.state in (_BEGINS, _WAITS)

    def __str__(self) -> str:
        if self.state == _WAITS and self.restart_at is not None:
            return f"restarts in {max(0.0, self.restart_at - time.time()):.0f} s"
        return "restarting" if self.state == _BEGINS and self.deaths else self.state


@dataclass(frozen=True, slots=True)
class Home:
    """A home folder and what runs in it."""

    folder: Path
    phase: Phase
    run: Run | None
    children: tuple[Child, ...] = ()
    settings: dict[str, Any] | None = None
    """The settings with which its services are reached; None until it is ready."""

    @property
    def services(self) -> tuple[Child, ...]:
        """Its services."""
        return tuple(one for one in self.children if one.role is None)

    @property
    def workers(self) -> tuple[Child, ...]:
        """Its workers."""
        return tuple(one for one in self.children if one.role is not None)


def look(folder: Path) -> Home:
    """What runs in a home folder, by what its files say; the folder may be missing."""
    folder = folder.absolute()
    run = current(folder)
    if run is None:
        return Home(folder, Phase.STOPPED, None)
    told = announced(folder) or {}
    children = tuple(_children(folder, told))
    ends = any(one.state == _ENDS for one in children)
    phase = Phase.READY if told else Phase.STOPPING if ends else Phase.STARTING
    return Home(folder, phase, run, children, told.get("settings"))


def _children(folder: Path, told: dict[str, Any]) -> list[Child]:
    try:
        states = json.loads((folder / STATE_FILE).read_text("utf-8"))
        return [
            Child(
                name=name,
                state=str(one["state"]),
                pid=one["pid"],
                since=float(one["since"]),
                deaths=len(one["deaths"]),
                died_at=one["deaths"][-1] if one["deaths"] else None,
                exit_code=one["exit_code"],
                restart_at=one["restart_at"],
                log=one["log"],
                addresses=_addresses(name, told),
            )
            for name, one in sorted(states.items(), key=lambda item: _order(item[0]))
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _addresses(name: str, told: dict[str, Any]) -> tuple[str, ...]:
    """As host and port, without passwords."""
    if name not in _ADDRESSES:
        served = told.get("workers", {}).get(name)
        return (str(served),) if served else ()
    found = (told.get("settings", {}).get(setting) for setting in _ADDRESSES[name])
    return tuple(urlsplit(one if "//" in one else f"//{one}").netloc.rpartition("@")[2] for one in found if one)


def _order(name: str) -> tuple[int, str]:
    """Services first, then workers in the order of the data's way."""
    if name in SERVICES:
        return SERVICES.index(name), ""
    roles = [str(one) for one in Role]
    role, _, number = name.rpartition("-")
    return len(SERVICES) + (roles.index(role) if role in roles else len(roles)), number.zfill(4)
