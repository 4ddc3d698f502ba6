"""THIRD_PARTY.md names every library, with the licence that the library itself declares.

``python -m tests.test_third_party`` writes the table of libraries anew.
"""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from models.embedder import assets
from tests.test_readme import between

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "THIRD_PARTY.md"
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \|$", re.MULTILINE)
SAYS_NOTHING = "not declared"


def libraries() -> list[str]:
    """What the project depends on directly."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    optional = [one for extra in project["optional-dependencies"].values() for one in extra]
    return sorted({Requirement(one).name for one in [*project["dependencies"], *optional]} - {project["name"]})


def licence_of(name: str) -> str | None:
    """What a package declares, in the newest form in which it does; None where it is not installed."""
    try:
        said = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    if expression := said.get("License-Expression"):
        return str(expression)
    free = (said.get("License") or "").strip()
    classifiers = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or [] if one.startswith("License")]
    return free if free and len(free.splitlines()) == 1 and len(free) < 40 else "; ".join(classifiers) or SAYS_NOTHING


def listed() -> dict[str, str]:
    return dict(ROW.findall(between(PAGE.read_text("utf-8"), "libraries")))


def test_every_library_is_listed_and_no_other() -> None:
    assert list(listed()) == libraries()


@pytest.mark.parametrize("name", libraries())
def test_the_licence_is_the_one_that_the_package_declares(name: str) -> None:
    declared = licence_of(name)
    if declared is None:
        pytest.skip("not installed here")
    assert listed()[name] == declared


def test_every_weight_file_is_named() -> None:
    text = PAGE.read_text("utf-8")
    for one in (assets.RESNET, assets.DETECTOR, assets.FACE_MESH):
        name, _, version = one.requirement.partition("==")
        assert f"`{name}` {version}" in text
        assert f"`{Path(one.path).name}`" in text


def main() -> None:
    """Write the table anew; what is not installed here keeps what the page says."""
    text, before = PAGE.read_text("utf-8"), listed()
    rows = [f"| `{name}` | {licence_of(name) or before.get(name, SAYS_NOTHING)} |" for name in libraries()]
    start, end = "<!-- libraries -->\n", "<!-- /libraries -->"
    head, _, rest = text.partition(start)
    table = "\n".join(["| library | licence |", "|---|---|", *rows])
    PAGE.write_text(head + start + table + "\n" + end + rest.partition(end)[2], "utf-8")


if __name__ == "__main__":
    main()
