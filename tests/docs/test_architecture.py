"""The architecture page names the layers as they are.

``python -m tests.docs.test_architecture`` writes the table of layers anew.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.test_readme import between
from tests.test_structure import LAYERS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- layers -->\n", "<!-- /layers -->"


def purpose(folder: str) -> str:
    """The first sentence of what a folder, or a module that lies in none, says of itself."""
    path = ROOT / "streams" / folder
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    said = " ".join((ast.get_docstring(ast.parse(source.read_text("utf-8"))) or "").partition("\n\n")[0].split())
    return re.sub(r"``", "`", said).rstrip(".")


def table() -> str:
    """The layers of ``streams``, the highest first, and what each folder is for."""
    rows = ["| layer | folder | what it is for |", "|---|---|---|"]
    for number, layer in reversed(list(enumerate(LAYERS["streams"]))):
        rows += [f"| {number} | `{folder}` | {purpose(folder)} |" for folder in layer]
    return "\n".join(rows)


def test_the_layers_are_those_that_are_checked() -> None:
    written = between(PAGE.read_text("utf-8"), "layers")
    assert written == table(), "write it anew: python -m tests.docs.test_architecture"


def main() -> None:
    """Write the table anew."""
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    PAGE.write_text(before + START + table() + "\n" + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
