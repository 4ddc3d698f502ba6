"""A field of an event is declared in its schema and its class; column and JSON key follow from them."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.as_json import LEFT_OUT, to_json
from schemas.fields import Field, Kind, record_of
from schemas.registry import EVENT_TYPES
from sinks.bigquery.columns import Computed, Flattened, FromField, Type, WrongDeclaration, columns_of
from tests.schemas.strategies import events

ROOT = Path(__file__).parents[2]
_CLASSES: Mapping[Kind, type] = {
    Kind.STRING: str,
    Kind.BYTES: bytes,
    Kind.BOOLEAN: bool,
    Kind.INTEGER: int,
    Kind.FLOAT: float,
    Kind.TIME: datetime,
    Kind.ENUM: Enum,
}


def fields(event: Field, cls: type) -> Iterator[tuple[type, Field]]:
    """Every field of an event and of the records in it, with the class that it belongs to."""
    for field in event.fields:
        yield cls, field
        inner = {one.__name__: one for one in classes(get_type_hints(cls).get(field.name))}
        for record in field.fields if field.kind is Kind.UNION else (field,):
            if record.record in inner:
                yield from fields(record, inner[record.record])


def classes(hint: Any) -> Iterator[Any]:
    if get_args(hint):
        for one in get_args(hint):
            yield from classes(one)
    elif isinstance(hint, type):
        yield hint


EVERY = {
    f"{cls.__name__}.{field.name}": (cls, field)
    for event_type in EVENT_TYPES.values()
    for cls, field in fields(record_of(event_type), event_type)
}


@pytest.mark.parametrize("name", EVERY)
def test_a_field_is_of_the_same_type_in_schema_and_class(name: str) -> None:
    cls, field = EVERY[name]
    hints = get_type_hints(cls)
    assert field.name in hints, f"schemas/*.avsc has {name}: add it to the class {cls.__name__}"
    hint = hints[field.name]
    if get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
        assert field.nullable, f'{name} may be None: its type in schemas/*.avsc must be ["null", …]'
        (hint,) = set(get_args(hint)) - {type(None)} if len(get_args(hint)) == 2 else (hint,)
    else:
        assert not field.nullable, f"{name} may be null in schemas/*.avsc: say … | None in the class"
    if field.repeated:
        assert get_origin(hint) is list, f"{name} is an array in schemas/*.avsc, and {hint} in the class"
        (hint,) = get_args(hint)
    if field.kind is Kind.RECORD:
        assert hint.__name__ == field.record, f"{name} is a {field.record} in schemas/*.avsc, and {hint} in the class"
    elif field.kind in _CLASSES:
        assert issubclass(hint, _CLASSES[field.kind]), f"{name} is a {field.kind} in schemas/*.avsc, and {hint}"


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=lambda one: one.__name__)
def test_no_class_has_a_field_that_its_schema_lacks(event_type: type) -> None:
    there = {f"{cls.__name__}.{field.name}" for cls, field in fields(record_of(event_type), event_type)}
    records = {cls for cls, _ in fields(record_of(event_type), event_type)}
    said = {f"{cls.__name__}.{field.name}" for cls in records for field in dataclasses.fields(cls)}
    assert said == there, f"add to schemas/*.avsc, or take out of the class: {sorted(said - there)}"


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=lambda one: one.__name__)
@settings(max_examples=10, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_each_field_has_a_key_in_json_or_a_reason(event_type: type, data: st.DataObject) -> None:
    event = data.draw(events(event_type))
    check_keys(event, to_json(event))


def check_keys(event: Any, plain: Any) -> None:
    if isinstance(event, list):
        for one, its in zip(event, plain, strict=True):
            check_keys(one, its)
    elif dataclasses.is_dataclass(event):
        names = {field.name for field in dataclasses.fields(event)}
        assert names - plain.keys() == {name for cls, name in LEFT_OUT if cls is type(event)}
        for name in names & plain.keys():
            check_keys(getattr(event, name), plain[name])


def record(*inner: Field) -> Field:
    return Field("Example", Kind.RECORD, "An example.", record="Example", fields=inner)


def test_what_is_not_mentioned_follows_behind_the_rest() -> None:
    box = Field(
        "box", Kind.RECORD, "Where, or null.", nullable=True, record="Box", fields=(Field("x", Kind.FLOAT, "X."),)
    )
    times = Field("seen_at", Kind.TIME, "When (UTC).", repeated=True)
    example = record(Field("name", Kind.STRING, "Its name."), box, times, Field("n", Kind.INTEGER, "How many."))
    columns = columns_of(example, [FromField("number", "Another text.", field="n")])
    assert [(one.name, one.type, one.description) for one in columns] == [
        ("number", Type.INT64, "Another text."),
        ("name", Type.STRING, "Its name."),
        ("box", Type.STRUCT, "Where, or NULL."),
        ("seen_at", Type.TIMESTAMP, "When."),
    ]
    there = types.SimpleNamespace(
        name="a", n=7, box=types.SimpleNamespace(x=0.5), seen_at=[datetime(1970, 1, 2, tzinfo=UTC)]
    )
    assert [one.value(there) for one in columns] == [7, "a", {"x": 0.5}, [86_400_000_000]]
    assert columns[2].value(types.SimpleNamespace(box=None)) is None


def test_a_flattened_record_that_is_missing_gives_nothing() -> None:
    refusal = Field(
        "refusal", Kind.RECORD, "Why, or null.", True, record="Refusal", fields=(Field("reason", Kind.ENUM, "Why."),)
    )
    (column,) = columns_of(record(refusal), [Flattened("refusal", "refusal_")])
    assert column.name == "refusal_reason"
    assert column.value(types.SimpleNamespace(refusal=None)) is None


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([], r"Example\.picture is of kind bytes, .* leave it out with the reason"),
        (["colour"], r"Example\.colour is declared, but Example has no field colour"),
        ([FromField("n"), Computed("N", Type.INT64, "Twice.", int, fields=("picture",))], "two columns are called n"),
    ],
)
def test_a_wrong_declaration_says_what_to_do(declared: list[Any], said: str) -> None:
    with pytest.raises(WrongDeclaration, match=said):
        columns_of(record(Field("picture", Kind.BYTES, "Bytes."), Field("n", Kind.INTEGER, "N.")), declared)


def test_what_is_left_out_has_a_reason() -> None:
    assert all(LEFT_OUT.values())
    example = record(Field("picture", Kind.BYTES, "Bytes."), Field("n", Kind.INTEGER, "N."))
    assert [one.name for one in columns_of(example, [], {"picture": "biometric"})] == ["n"]


SHOW = """
import json, sys
from dataclasses import replace
from datetime import UTC, datetime
from schemas import codec
from schemas.as_json import to_json
from schemas.events import Candidate, Match
from sinks.bigquery.rows import row_writer
from sinks.bigquery.tables import MATCHES
from tests.sinks.examples import delivery, match

event = match(firmware="7.1")
event = codec.decode(codec.encode(replace(event, faces=[replace(event.faces[0], candidates=[
    Candidate("anna", 0.75, 0.25, 1e-5, age_days=12)])])), Match)
writer = row_writer(Match)
row = writer._message_class.FromString(writer.row(delivery(event), datetime.now(UTC)))
faces = next(column for column in MATCHES.columns if column.name == "faces")
candidates = next(column for column in faces.columns if column.name == "candidates")
column, inner = MATCHES.columns[-1], candidates.columns[-1]
print(json.dumps({
    "columns": [[one.name, one.type, one.mode, one.description] for one in (column, inner)],
    "row": [row.firmware, row.faces[0].candidates[0].age_days],
    "json": [to_json(event)["firmware"], to_json(event)["faces"][0]["candidates"][0]["age_days"]],
}))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The code, to be changed as its developers do."""
    for folder in ("schemas", "sinks", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), "utf-8")


def add_to_the_schema(copy: Path) -> None:
    schema = copy / "schemas" / "match.avsc"
    field = (
        '{"name": "firmware", "type": ["null", "string"], "default": null, "doc": "The camera\'s firmware, or null."}'
    )
    change(schema, '    {"name": "replay_id"', f'    {field},\n    {{"name": "replay_id"')
    field = '{"name": "age_days", "type": ["null", "int"], "default": null, "doc": "Age of its template."}'
    last = 'With search: the user whose subject it is; null: the user of the frame."}'
    change(schema, last, f"{last}, {field}")


def add_to_the_classes(copy: Path) -> None:
    (module,) = (path for path in (copy / "schemas").glob("*.py") if "class Match:" in path.read_text("utf-8"))
    change(module, "    matched_at: datetime\n", "    matched_at: datetime\n    firmware: str | None = None\n")
    change(module, "    fmr: float\n", "    fmr: float\n    age_days: int | None = None\n")


def python(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(copy)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, timeout=300
    )


def test_a_new_field_is_added_to_schema_and_class_and_nowhere_else(copy: Path) -> None:
    add_to_the_schema(copy)
    add_to_the_classes(copy)
    shown = python(copy, "-c", SHOW)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == {
        "columns": [
            ["firmware", "STRING", "NULLABLE", "The camera's firmware, or NULL."],
            ["age_days", "INT64", "NULLABLE", "Age of its template."],
        ],
        "row": ["7.1", 12],
        "json": ["7.1", 12],
    }


@pytest.mark.parametrize(
    ("add", "said"),
    [
        (add_to_the_schema, "has Candidate.age_days: add it to the class Candidate"),
        (
            add_to_the_classes,
            "add to schemas/*.avsc, or take out of the class: ['Candidate.age_days', 'Match.firmware']",
        ),
    ],
)
def test_a_place_that_was_forgotten_is_named(copy: Path, add: Callable[[Path], None], said: str) -> None:
    add(copy)
    ran = python(
        copy,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--noconftest",
        "tests/sinks/test_one_place.py",
        "-k",
        "in_schema_and_class or schema_lacks",
    )
    assert ran.returncode == 1
    assert said in ran.stdout
