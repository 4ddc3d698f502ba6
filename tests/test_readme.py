"""The README is true: its commands, links and outputs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from infra.photos import VERSION as PHOTOS
from schemas.as_json import to_json
from streams.settings import Settings
from tests.command_lines import names, parse
from tests.sinks.examples import match

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TEXT = README.read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def between(text: str, marker: str) -> str:
    return text.partition(f"<!-- {marker} -->\n")[2].partition(f"<!-- /{marker} -->")[0].strip()


def shell_lines() -> list[list[str]]:
    lines = (shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines())
    return [line for line in lines if line]


def commands(lines: list[list[str]]) -> list[list[str]]:
    """The arguments of those lines that call facestream."""
    return [line[1:] for line in lines if Path(line[0]).name == "facestream" and line[1:]]


def in_sentences() -> list[list[str]]:
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    return commands([shlex.split(code) for code in re.findall(r"`((?:[.]venv/bin/)?facestream\s[^`]+)`", prose)])


@pytest.mark.parametrize("arguments", commands(shell_lines()), ids=" ".join)
def test_command_can_be_run_as_it_stands(arguments: list[str]) -> None:
    assert parse(arguments) in names()


@pytest.mark.parametrize("arguments", in_sentences(), ids=" ".join)
def test_command_in_a_sentence_exists(arguments: list[str]) -> None:
    try:
        assert parse(arguments) in names()
    except typer.TyperException as error:
        assert "Missing argument" in error.format_message()


def test_docker_commands() -> None:
    lines = [line for line in shell_lines() if line[:2] == ["docker", "compose"]]
    assert lines
    for line in lines:
        if "--scale" in line:
            scaled = [word.split("=")[0] for word in line if "=" in word]
            assert scaled and set(scaled) <= set(COMPOSE["services"])
        if line[2] == "run":
            assert line[:4] == ["docker", "compose", "run", "--rm"]
            assert COMPOSE["services"][line[4]]["image"] == "facestream"
            parse(line[5:])


def test_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"\bmake ([a-z]+)", TEXT))
    assert {"demo", "test", "setup", "help"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in target]
    assert targets
    for target in targets:
        assert (ROOT / target.partition("#")[0]).exists(), target


def test_variables_are_settings() -> None:
    named = set(re.findall(r"FACESTREAM_([A-Z_]+[A-Z])", TEXT))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_the_match_has_no_field_that_there_is_not() -> None:
    shown: dict[str, Any] = json.loads(blocks("json")[0])
    assert_part(fields(shown), fields(to_json(match())))


def assert_part(part: object, whole: object) -> None:
    """Check that ``whole`` has every name of ``part``, in the values of them too."""
    if isinstance(part, dict):
        assert isinstance(whole, dict) and part.keys() <= whole.keys()
        for name, inner in part.items():
            assert_part(inner, whole[name])
    elif isinstance(part, list):
        assert isinstance(whole, list)
        for inner in part:
            assert_part(inner, whole[0])


def fields(value: object) -> object:
    """The names in a JSON value, without its values."""
    if isinstance(value, dict):
        return {name: fields(inner) for name, inner in value.items()}
    return [fields(value[0])] if isinstance(value, list) and value else None


def test_the_photographs_are_where_it_says() -> None:
    assert f"facestream/photos-{PHOTOS} photos" in TEXT


def test_python_compiles() -> None:
    assert blocks("python")
    for block in blocks("python"):
        compile(block, "README.md", "exec")


def test_it_is_a_front_door() -> None:
    assert len(TEXT.splitlines()) < 300
    assert "docs/images/demo.svg" in TEXT
