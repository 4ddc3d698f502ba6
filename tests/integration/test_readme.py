"""What the README lets its readers run, run as it stands on the whole stack."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.devtools.local_stack import Stack
from tests.streams.cli import preloaded

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
LASTING = {"up", "watch", "worker"}
"""Commands that run until Ctrl-C; other tests run them."""

Run = Callable[[list[str]], tuple[int, str, str]]
"""Runs a command; returns its exit code, and what it wrote to stdout and stderr."""


def block(language: str, before: str = "") -> str:
    """The first fenced block of a language after a text."""
    found = re.search(rf"^```{language}\n(.*?)^```$", README[README.index(before) :], re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def run(stack: Stack, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run commands in a folder with the photographs, beside the stack."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "photos").symlink_to(photos)
    env = os.environ | stack.environment() | {"PYTHONPATH": str(ROOT)}
    return lambda arguments: preloaded.run(arguments, env, folder, 120)


def test_python_prints_what_it_says(python: Path, stack: Stack, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to(photos)
    ended = subprocess.run(
        [python, "-c", block("python")],
        env=os.environ | stack.environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.stdout, ended.returncode) == (block("text", block("python")), 0), ended.stderr


def commands() -> list[list[str]]:
    lines = [line for code in re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S) for line in code.splitlines()]
    called = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("facestream ")]
    # Nobody answers here; and the id of a dead letter is another one each time.
    called = [[*line, "--yes"] if line[0] == "erase" else line for line in called]
    return [line for line in called if line[0] not in LASTING and line[:2] != ["dead-letters", "show"]]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_command_succeeds(run: Run, arguments: list[str]) -> None:
    code, out, err = run(arguments)
    assert code == 0, err
    assert out
