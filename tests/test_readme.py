"""The README is true: its commands, tables, links and outputs.

``python -m tests.test_readme`` writes the tables of reasons and settings into it anew.
"""

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
from schemas.reasons import Reason
from sinks.redis.keys import Keys
from streams.cli.settings import table_for_readme
from streams.settings import Settings
from tests.command_lines import names, parse
from tests.sinks.examples import match

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TEXT = README.read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))


def reasons() -> str:
    """The table of reasons in Markdown."""
    return "\n".join(
        ["| reason | what it says |", "|---|---|", *(f"| `{one}` | {one.description} |" for one in Reason)]
    )


TABLES = {"reasons": reasons, "settings": table_for_readme}


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


@pytest.mark.parametrize("name", TABLES)
def test_table_is_what_the_code_says(name: str) -> None:
    assert between(TEXT, name) == TABLES[name](), "write it anew: python -m tests.test_readme"


def test_links_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in target]
    assert targets
    for target in targets:
        assert (ROOT / target.partition("#")[0]).exists(), target


def test_variables_are_settings() -> None:
    named = set(re.findall(r"FACESTREAM_([A-Z_]+[A-Z])", TEXT))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_keys_of_redis() -> None:
    keys = Keys()
    user, camera, event = "<user_id>", "<camera_id>", "<event_id>"
    shown = set(re.findall(r"^\| `(facestream:[^`]+)`", TEXT, re.MULTILINE))
    made = {keys.result(event), keys.enrolment(event), keys.latest(user, camera), keys.live(user), keys.subjects(user)}
    assert shown == made
    assert Settings.model_fields["result_ttl_s"].default == 86_400, "kept for a day"
    assert Settings.model_fields["live_stream_length"].default == 1_000


def test_the_match_has_every_field() -> None:
    shown: dict[str, Any] = json.loads(blocks("json")[0])
    assert fields(shown) == fields(to_json(match()))


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


def main() -> None:
    """Write the tables anew."""
    text = TEXT
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        text = before + start + table() + "\n" + end + rest.partition(end)[2]
    README.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
