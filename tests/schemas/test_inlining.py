"""Each event's schema file is complete: any Avro library can read it alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import fastavro.schema
import pytest

from schemas import inlining, registry

ROOT = Path(__file__).parents[2]
FILES = sorted(registry.FOLDER.glob("*.avsc"))


def test_there_is_a_file_for_each_event_and_no_other() -> None:
    assert {path.stem for path in FILES} == set(registry.EVENT_TYPES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_enough_by_itself(path: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(path, tmp_path))
    loaded = fastavro.schema.load_schema(str(alone))
    newest = registry.newest(registry.EVENT_TYPES[path.stem])
    assert fastavro.schema.to_parsing_canonical_form(loaded) == fastavro.schema.to_parsing_canonical_form(newest.parsed)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_has_the_shared_types_as_they_are_declared(path: Path) -> None:
    text = path.read_text("utf-8")
    complete = inlining.inlined(json.loads(text), inlining.shared_types())
    assert text == inlining.as_text(complete), "run `python -m schemas.archive` and commit what it writes"


def test_a_shared_type_is_defined_at_its_first_use_and_named_at_the_others() -> None:
    shared = {
        "facestream.Pair": {
            "type": "record",
            "name": "Pair",
            "namespace": "facestream",
            "fields": [{"name": "left", "type": "facestream.Side"}, {"name": "right", "type": "facestream.Side"}],
        },
        "facestream.Side": {"type": "enum", "name": "Side", "namespace": "facestream", "symbols": ["a", "b"]},
    }
    stale = {"type": "enum", "name": "Side", "symbols": ["a"]}
    event = {
        "type": "record",
        "name": "Event",
        "namespace": "facestream",
        "fields": [
            {"name": "side", "type": ["null", stale]},
            {"name": "pairs", "type": {"type": "array", "items": "facestream.Pair"}},
            {"name": "by_name", "type": {"type": "map", "values": "facestream.Pair"}},
        ],
    }
    complete = inlining.inlined(event, shared)
    side, pairs, by_name = (field["type"] for field in complete["fields"])
    assert side == ["null", {"type": "enum", "name": "Side", "symbols": ["a", "b"]}]
    assert [field["type"] for field in pairs["items"]["fields"]] == ["facestream.Side"] * 2
    assert by_name["values"] == "facestream.Pair"
    assert fastavro.schema.parse_schema(complete)
    assert inlining.inlined(complete, shared) == complete
    assert json.loads(inlining.as_text(complete)) == complete
    with pytest.raises(KeyError, match=r"facestream\.Pair"):
        inlining.inlined(event, {})


def test_a_change_to_a_shared_type_reaches_every_event(tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", folder, ignore=shutil.ignore_patterns("__pycache__"))
    box = folder / "shared" / "box.avsc"
    declared = json.loads(box.read_text("utf-8"))
    declared["fields"].append({"name": "turn", "type": ["null", "float"], "default": None, "doc": "Turn in degrees."})
    box.write_text(json.dumps(declared), "utf-8")
    command = [sys.executable, "-m", "schemas.archive"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    using = [path.name for path in FILES if '"Box"' in path.read_text("utf-8")]
    assert using
    assert {name for name in told if not name.startswith("history/")} == set(using)
    assert {name.split("/")[1].split(".")[0] for name in told if name.startswith("history/")} == {
        name.split(".")[0] for name in using
    }
    assert subprocess.check_output(command, cwd=tmp_path, timeout=60) == b""
