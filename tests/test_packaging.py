"""What a wheel of the project holds, and that the hooks of a commit check what `make lint` checks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ROOMS = ("streams", "sinks", "models", "schemas", "infra")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, since building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "THIRD_PARTY.md"):
        shutil.copy(ROOT / name, source)
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(source)], check=True, capture_output=True, text=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def names(wheel: zipfile.ZipFile) -> set[str]:
    return set(wheel.namelist())


def described(wheel: zipfile.ZipFile) -> Message:
    (path,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(path).decode("utf-8"))


def test_type_checkers_may_use_its_types(wheel: zipfile.ZipFile) -> None:
    assert {f"{room}/py.typed" for room in ROOMS} <= names(wheel)


def test_it_says_its_licence_and_brings_it(wheel: zipfile.ZipFile) -> None:
    said = described(wheel)
    assert said["License-Expression"] == "Apache-2.0"
    brought = {name.partition("/licenses/")[2] for name in names(wheel) if "/licenses/" in name}
    assert {"LICENSE", "THIRD_PARTY.md"} <= brought


def test_it_holds_every_module_and_what_they_read(wheel: zipfile.ZipFile) -> None:
    read = {".py", ".avsc", ".json", ".npz", ".lua", ".sql", ".jars", ".html", ".css", ".js", ".svg"}
    wanted = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and path.suffix in read
    }
    assert wanted <= names(wheel)


def test_pre_commit_runs_what_make_lint_runs() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert recipe is not None
    linted = [line.strip().lstrip("@").replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [hook["entry"] for hook in hooks] == linted
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks)
