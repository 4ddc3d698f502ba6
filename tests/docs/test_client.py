"""The guide of the client is true: its programs run, its tables are what the code says.

``python -m tests.docs.test_client`` writes the tables anew.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from streams import client
from streams.client import errors
from streams.client.settings import ClientSettings
from tests.test_readme import between

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "client.md"
TEXT = PAGE.read_text("utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def first_sentence(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n")[0].split()).replace("``", "`").rstrip(".")


def error_table() -> str:
    """Every error with what it means."""
    rows = ["| error | what happened |", "|---|---|"]
    rows += [f"| `{name}` | {first_sentence(inspect.getdoc(getattr(errors, name)))} |" for name in errors.__all__]
    return "\n".join(rows)


def settings_table() -> str:
    """Every setting with its description."""
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(inspect.getmodule(ClientSettings))).body  # type: ignore[arg-type]
        if isinstance(node, ast.ClassDef) and node.name == "ClientSettings"
    )
    said = {
        field.target.id: ast.literal_eval(text.value)
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr)
    }
    rows = ["| variable | argument | default | what it is |", "|---|---|---|---|"]
    for one in fields(ClientSettings):
        description = said[one.name].replace("``", "`")
        default = f"`{one.default}`" if one.default else ""
        rows.append(f"| `FACESTREAM_{one.name.upper()}` | `{one.name}` | {default} | {description} |")
    return "\n".join(rows)


TABLES = {"errors": error_table, "client-settings": settings_table}


@pytest.mark.parametrize("name", TABLES)
def test_table_is_what_the_code_says(name: str) -> None:
    assert between(TEXT, name) == TABLES[name](), "write it anew: python -m tests.docs.test_client"


def test_every_error_has_the_one_base() -> None:
    raised = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(error, client.FacestreamError) for error in raised)
    assert set(errors.__all__) <= set(client.__all__)
    assert all(one.__name__ in errors.__all__ for one in vars(errors).values() if _is_error(one))


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_it_imports_is_public(program: str) -> None:
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom) and node.module == "facestream":
            assert {alias.name for alias in node.names} <= {*client.__all__, "aio"}


def test_the_fake_does_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (one for one in PROGRAMS if "FakeClient" in one)
    exec(program.replace("from facestream", "from streams.client"), {})
    assert capsys.readouterr().out == "no answer, without waiting for it\n"


def test_the_wheel_is_called_so() -> None:
    project = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text("utf-8"))["project"]
    wheel = f"{project['name'].replace('-', '_')}-{project['version']}-py3-none-any.whl"
    assert set(re.findall(r"facestream_client-\S+?\.whl", TEXT)) == {wheel}


def main() -> None:
    """Write the tables anew."""
    text = TEXT
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        text = before + start + table() + "\n" + end + rest.partition(end)[2]
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
