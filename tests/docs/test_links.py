"""What the documents point to is there: links, headings, files of the project that they name, and commands."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest
import typer

from tests.command_lines import names, parse

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"`(?:[.]venv/bin/)?facestream ([^`\n]+)`")
NAMED = re.compile(r"`((?:streams|sinks|models|schemas|infra|tests|docs|requirements)/[\w./<>*{},-]*)`")


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may say, as the usual hosts make it."""
    text = FENCED.sub("", page.read_text("utf-8"))
    made: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        made.add(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return made


def links() -> list[tuple[Path, str]]:
    found = [(page, link) for page in PAGES for link in LINK.findall(FENCED.sub("", page.read_text("utf-8")))]
    return [(page, link) for page, link in found if "://" not in link]


def test_there_are_pages_with_links() -> None:
    assert {page for page, _ in links()} >= {ROOT / "README.md", ROOT / "docs" / "architecture.md"}


@pytest.mark.parametrize(("page", "link"), links(), ids=lambda value: str(value).removeprefix(f"{ROOT}/"))
def test_a_link_leads_somewhere(page: Path, link: str) -> None:
    path, _, heading = link.partition("#")
    target = page.parent / path if path else page
    assert target.exists(), "there is no such file"
    if heading:
        assert heading in anchors(target), "there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_file_that_is_named_exists(page: Path) -> None:
    for name in NAMED.findall(page.read_text("utf-8")):
        if not re.search(r"[<>{}]", name):
            assert list(ROOT.glob(name.rstrip("/"))), f"there is no {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_that_a_sentence_names_exists(page: Path) -> None:
    for code in COMMAND.findall(FENCED.sub("", page.read_text("utf-8"))):
        # An ellipsis stands for arguments that the sentence is not about, and a bar for either.
        arguments = [word for word in shlex.split(code.partition("|")[0]) if word != "…"]
        words = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
        if any(words == one.split()[1 : len(words) + 1] for one in names()):
            continue  # a command, or a group of them, with options or without
        try:
            parse(arguments)
        except typer.TyperException as error:
            # PARTITION is no number.
            known = any(said in error.format_message() for said in ("Missing", "Invalid value"))
            assert known, f"{code}: {error.format_message()}"


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    listed = re.findall(r"^\| \[\d+\]\(([^)]+)\)", (folder / "README.md").read_text("utf-8"), re.MULTILINE)
    assert listed == records
    assert len({name[:4] for name in records}) == len(records), "a number names one record"
