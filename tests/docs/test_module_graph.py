from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "module_graph.py"


def graph(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clone with three folders in one room, and a room without folders; the lowest folder imports nothing."""
    files = {
        "schemas/__init__.py": "",
        "schemas/events.py": "import json\n",
        "streams/__init__.py": "",
        "streams/settings.py": "",
        "streams/kafka/__init__.py": "",
        "streams/kafka/topics.py": "from schemas.events import Event\nfrom streams.settings import Settings\n",
        "streams/engine/__init__.py": "",
        "streams/engine/stage.py": "from streams.kafka import topics\n",
        "streams/cli/__init__.py": "",
        "streams/cli/main.py": "import streams.engine.stage\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path


def test_the_project_is_without_cycles() -> None:
    ended = graph()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "streams/engine" in ended.stdout


def test_what_is_imported_lies_in_a_lower_layer(tree: Path) -> None:
    ended = graph(tree)
    rows = [row.split()[1:] for row in ended.stdout.splitlines()]
    assert rows == [["schemas", "streams/settings"], ["streams/kafka"], ["streams/engine"], ["streams/cli"]]
    told = graph(tree, "--imports").stdout
    assert "streams/kafka → schemas, streams/settings" in told


def test_for_graphviz(tree: Path) -> None:
    assert '"streams/cli" -> "streams/engine";' in graph(tree, "--dot").stdout


def test_a_cycle_is_an_error_that_names_its_imports(tree: Path) -> None:
    (tree / "streams/kafka/late.py").write_text(
        "def late() -> None:\n    from streams.cli.main import (\n        main,\n    )\n", "utf-8"
    )
    ended = graph(tree)
    assert ended.returncode == 1
    assert "a cycle: streams/cli, streams/engine, streams/kafka" in ended.stderr
    assert "streams/kafka/late.py:2: from streams.cli.main import main" in ended.stderr
    assert "streams/engine/stage.py:1: from streams.kafka import topics" in ended.stderr
    assert "schemas" not in ended.stderr
