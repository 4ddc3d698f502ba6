"""Every command's help ends with examples, and each of them is a call that the command takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from streams.cli.examples import EXAMPLES
from streams.cli.main import make_app
from tests.streams.cli.conftest import Run

WIDTH = 78
"""Columns that a terminal of 80 leaves for a line."""

APP = typer.main.get_command(make_app())


def commands(group: object, above: str = "") -> Iterator[tuple[str, TyperCommand]]:
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        path = f"{above} {name}".strip()
        if isinstance(command, TyperGroup):
            yield from commands(command, path)
        else:
            assert isinstance(command, TyperCommand)
            yield path, command


COMMANDS = dict(commands(APP))
LINES = [line for lines in EXAMPLES.values() for line in lines]


def test_every_command_has_examples_and_nothing_else_has() -> None:
    assert set(EXAMPLES) == {"", *COMMANDS}


@pytest.mark.parametrize("line", LINES)
def test_a_command_takes_its_example(line: str) -> None:
    called, *words = shlex.split(line.partition("|")[0], comments=True)
    assert called == "facestream"
    assert len(line) <= WIDTH
    length = next(n for n in (2, 1) if " ".join(words[:n]) in COMMANDS)
    # Fails at an unknown option, a missing argument, or a value of the wrong type; runs nothing.
    COMMANDS[" ".join(words[:length])].make_context(called, words[length:]).close()


@pytest.mark.parametrize("name", ["play", "dead-letters dismiss", ""])
def test_help_shows_the_examples(name: str, offline: Run) -> None:
    shown = offline(*name.split(), "--help").out.splitlines()
    assert [line.strip() for line in shown if line.startswith(" facestream ")] == list(EXAMPLES[name])
