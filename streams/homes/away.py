"""What to say of a service that does not answer: whether it comes back by itself, and which stacks run elsewhere."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.homes import registry
from streams.homes.state import STATE_FILE, Child, Phase, look

_VARIABLES = {
    "kafka": ("FACESTREAM_KAFKA",),
    "redis": ("FACESTREAM_REDIS_URL",),
    "bigquery": ("FACESTREAM_BIGQUERY_REST", "FACESTREAM_BIGQUERY_GRPC"),
}
"""The variables by which somebody names a server of his own."""


@dataclass(frozen=True, slots=True)
class Coming:
    """A service that is being started, or started again; one has to wait."""

    what: str
    """What is going on, such as "it is being restarted by `facestream up`: it died 2 s ago (signal 9)"."""
    log: Path


def coming(home: Path, service: str, address: str) -> Coming | None:
    """Whether the stack of a home is about to bring a service back.

    Args:
        home: the folder of the stack.
        service: its name, ``kafka``, ``redis`` or ``bigquery``.
        address: where it does not answer, as host and port.
    """
    here = look(home)
    child = next((one for one in here.services if one.name == service), None)
    if here.phase is Phase.STARTING and not named_by_variable(service):
        return Coming("it is being started by `facestream up`", _log(child, here.folder))
    if child is None or address not in child.addresses or not child.comes_back:
        return None
    return Coming(f"it is being restarted by `facestream up`{_death(child)}", _log(child, here.folder))


def elsewhere(home: Path, service: str) -> Sequence[Path]:
    """The homes of other stacks that run on this machine; none if a variable names a server for this service."""
    if named_by_variable(service):
        return ()
    return [folder for folder, _ in registry.running() if folder != home.absolute()]


def named_by_variable(service: str) -> bool:
    """Whether a variable of this process says where the service is."""
    return any(os.environ.get(name) for name in _VARIABLES[service])


def how_to_reach(homes: Sequence[Path]) -> str:
    """Where stacks run, and how commands reach one of them."""
    if len(homes) == 1:
        return f"a stack runs in {homes[0]}: `export FACESTREAM_HOME={shlex.quote(str(homes[0]))}` reaches it"
    listed = ", ".join(map(str, homes[:-1]))
    return f"stacks run in {listed} and {homes[-1]}: `export FACESTREAM_HOME=FOLDER` reaches one of them"


def _death(child: Child) -> str:
    if child.died_at is None or child.exit_code is None:
        return ""
    how = f"signal {-child.exit_code}" if child.exit_code < 0 else f"exit code {child.exit_code}"
    return f": it died {max(0.0, time.time() - child.died_at):.0f} s ago ({how})"


def _log(child: Child | None, home: Path) -> Path:
    return Path(child.log) if child is not None and child.log else home / STATE_FILE
