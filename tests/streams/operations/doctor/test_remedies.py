"""Every remedy that the doctor can print is carried out by a test."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from streams.operations.doctor.remedies import Remedy

ROOT = Path(__file__).parents[4]
DOCTOR = ROOT / "streams" / "operations" / "doctor"


def healed() -> Counter[str]:
    """The names of the remedies that tests carry out."""
    found: Counter[str] = Counter()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for one in node.decorator_list:
                    if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "heals":
                        found.update(each.attr for each in one.args if isinstance(each, ast.Attribute))
    return found


def used() -> set[str]:
    """The names of the remedies that the checks give."""
    found = set()
    for path in DOCTOR.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Remedy":
                found.add(node.attr)
    return found


def test_every_remedy_is_carried_out_by_a_test() -> None:
    names = {one.name for one in Remedy}
    assert names - set(healed()) == set(), "decorate a test with heals(), which carries it out"
    assert set(healed()) <= names


def test_every_remedy_is_given_by_a_check() -> None:
    assert {one.name for one in Remedy} - used() == set()


def test_no_check_gives_advice_that_is_not_listed() -> None:
    """The type checker refuses a plain text; nobody builds one past it."""
    for path in DOCTOR.glob("*.py"):
        if path.name != "remedies.py":
            assert "Advice(" not in path.read_text("utf-8"), path
