"""Tables and views: created once, and migrated by adding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from google.cloud import bigquery as google

from sinks.bigquery import Address, apply
from sinks.bigquery.apply import IncompatibleTable, views
from sinks.bigquery.columns import Column
from sinks.bigquery.tables import TABLES
from tests.sinks.examples import (
    delivery,
    match,
)
from tests.sinks.rows import ask, write


def described(columns: tuple[Column, ...]) -> Iterator[str]:
    for column in columns:
        yield column.description
        yield from described(column.columns)


def test_every_column_and_view_is_described() -> None:
    for table in TABLES:
        assert table.description.endswith(".")
        assert all(text.endswith(".") for text in described(table.columns))
    assert len(views()) == 14
    for view in views():
        assert view.description.endswith(".")
        assert view.sql.startswith("SELECT")


def test_apply_creates_everything_once(address: Address) -> None:
    client = address.rest_client()
    names = [f"table {table.name}: created" for table in TABLES] + [f"view {view.name}: created" for view in views()]
    wanted = [f"dataset {address.dataset_id}: created", *names]
    assert apply(client, address.dataset_id, dry_run=True) == wanted
    assert apply(client, address.dataset_id) == wanted
    assert apply(client, address.dataset_id) == []
    table = client.get_table(f"{address.dataset_id}.matches")
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("DAY", "matched_at")
    assert table.clustering_fields == ["user_id"]
    assert {field.name: field.description for field in table.schema}["camera_id"] == "The camera."


def test_apply_adds_what_is_missing_and_keeps_what_is_there(address: Address) -> None:
    client = address.rest_client()
    apply(client, address.dataset_id)
    name = f"{address.dataset_id}.matches"
    for change in ("DROP COLUMN width", "DROP COLUMN kafka_topic", "ADD COLUMN analysts_own STRING"):
        client.query_and_wait(f"ALTER TABLE {name} {change}")
    wanted = ["column matches.width: added", "column matches.kafka_topic: added"]
    wanted += [f"view {view.name}: updated" for view in views()]
    assert apply(client, address.dataset_id, dry_run=True) == wanted
    assert "width" not in {field.name for field in client.get_table(name).schema}
    assert apply(client, address.dataset_id) == wanted
    assert apply(client, address.dataset_id) == []
    fields = {field.name: field for field in client.get_table(name).schema}
    assert "analysts_own" in fields
    assert fields["width"].description
    write(address, [delivery(match(width=1234))])
    assert ask(address, "SELECT width, kafka_topic FROM results") == [{"width": 1234, "kafka_topic": "matches"}]


def without(fields: Sequence[google.SchemaField], *path: str) -> list[google.SchemaField]:
    """Fields without the one at a path."""
    first, *rest = path
    kept = []
    for field in fields:
        if field.name != first:
            kept.append(field)
        elif rest:
            resource = field.to_api_repr() | {"fields": [one.to_api_repr() for one in without(field.fields, *rest)]}
            kept.append(google.SchemaField.from_api_repr(resource))
    return kept


def test_apply_adds_what_is_missing_within_records(address: Address) -> None:
    client = address.rest_client()
    apply(client, address.dataset_id)
    name = f"{address.dataset_id}.matches"
    older = client.get_table(name)
    client.query_and_wait(f"DROP TABLE {name}")
    older.schema = without(without(older.schema, "faces", "quality", "blockiness"), "faces", "candidates", "fmr")
    client.create_table(older)
    changes = apply(client, address.dataset_id)
    assert {"column matches.faces.quality.blockiness: added", "column matches.faces.candidates.fmr: added"} < set(
        changes
    )
    assert apply(client, address.dataset_id) == []
    write(address, [delivery(match())])
    asked = "SELECT f.quality.blockiness, f.candidates[OFFSET(0)].fmr > 0 AS rated FROM results, UNNEST(faces) AS f"
    assert {"blockiness": 0.25, "rated": True} in ask(address, asked)


def test_apply_saves_a_view_anew_that_someone_changed(address: Address) -> None:
    client = address.rest_client()
    apply(client, address.dataset_id)
    client.query_and_wait(f"CREATE OR REPLACE VIEW {address.dataset_id}.sightings_by_day AS SELECT 1 AS one")
    assert apply(client, address.dataset_id) == ["view sightings_by_day: updated"]
    assert ask(address, "SELECT COUNT(*) AS n FROM sightings_by_day WHERE subject_id IS NULL") == [{"n": 0}]
    assert apply(client, address.dataset_id) == []


def test_apply_refuses_what_it_cannot_make_right(address: Address) -> None:
    client = address.rest_client()
    client.create_dataset(address.dataset_id)
    other = google.Table(f"{address.dataset_id}.matches", schema=[google.SchemaField("event_id", "STRING")])
    client.create_table(other)
    with pytest.raises(IncompatibleTable, match="partitioned by None"):
        apply(client, address.dataset_id)
    client.delete_table(other)
    apply(client, address.dataset_id)
    table = client.get_table(other.reference)
    schema = [google.SchemaField("width", "STRING") if one.name == "width" else one for one in table.schema]
    client.delete_table(table)
    changed = google.Table(table.reference, schema=schema)
    changed.time_partitioning, changed.clustering_fields = table.time_partitioning, table.clustering_fields
    client.create_table(changed)
    with pytest.raises(IncompatibleTable, match=r"matches\.width is NULLABLE STRING, and NULLABLE INT64"):
        apply(client, address.dataset_id)
