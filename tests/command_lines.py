"""Whether a command line of facestream, as a file names it, is one that facestream has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import typer

from streams.cli.main import make_app


@cache
def _root() -> typer.core.TyperGroup:
    command = typer.main.get_command(make_app())
    assert isinstance(command, typer.core.TyperGroup)
    return command


def parse(arguments: Sequence[str]) -> str:
    """Parse the arguments of ``facestream`` without running anything; return the path of the command.

    Raises:
        LookupError: there is no such command.
        typer.TyperException: an option or a value does not exist; the message names it.
    """
    command: Any = _root()
    left, path = list(arguments), ["facestream"]
    while isinstance(command, typer.core.TyperGroup):
        if not left or left[0] not in command.commands:
            raise LookupError(f"`{' '.join(path)}` has no command {' '.join(left[:1])!r}")
        path.append(left.pop(0))
        command = command.commands[path[-1]]
    if left != ["--help"]:
        command.make_context(path[-1], left)
    return " ".join(path)


def names() -> set[str]:
    """Every command that is no group, by its path."""
    found: set[str] = set()

    def walk(command: typer.core.TyperGroup, path: str) -> None:
        for name, inner in command.commands.items():
            if isinstance(inner, typer.core.TyperGroup):
                walk(inner, f"{path} {name}")
            else:
                found.add(f"{path} {name}")

    walk(_root(), "facestream")
    return found
