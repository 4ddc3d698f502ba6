"""The worked examples of CONTRIBUTING.md fit the code as it is, and do what they say."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
EXAMPLES = {
    title: body
    for title, body in re.findall(r"^## (An? .+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    if "```diff" in body
}


def blocks(body: str, language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", body, re.MULTILINE | re.DOTALL))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the code, to be changed as its developers do."""
    for room in ("streams", "sinks", "models", "schemas", "infra", "tests"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "docker-compose.yml"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def apply(clone: Path, body: str) -> None:
    ended = subprocess.run(
        ["git", "apply", "-C1", "-"],
        cwd=clone,
        input=blocks(body, "diff"),
        text=True,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, f"mend the example in CONTRIBUTING.md: {ended.stderr}"


def test_there_are_examples() -> None:
    assert {"An event field", "A reason", "A command", "A role"} <= EXAMPLES.keys()


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_fits_the_code_and_its_style(clone: Path, title: str) -> None:
    apply(clone, EXAMPLES[title])
    changed = [name for name in re.findall(r"^\+\+\+ b/(.+)$", EXAMPLES[title], re.MULTILINE) if name.endswith(".py")]
    for check in (["check"], ["format", "--check"]):
        ruff = [Path(sys.executable).parent / "ruff", *check, "--quiet", *changed]
        ended = subprocess.run(ruff, cwd=clone, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout


@pytest.mark.long
@pytest.mark.parametrize("title", EXAMPLES)
def test_what_an_example_says_to_run_succeeds(clone: Path, title: str) -> None:
    apply(clone, EXAMPLES[title])
    for line in blocks(EXAMPLES[title], "sh").splitlines():
        program, *arguments = shlex.split(line)
        if program == ".venv/bin/facestream":
            arguments = ["-m", "streams.cli", *arguments]
        ended = subprocess.run(
            [sys.executable, *arguments], cwd=clone, capture_output=True, text=True, check=False, timeout=500
        )
        assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
