"""Tables and views: created once, and migrated by adding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from google.cloud import bigquery as google

from sinks.bigquery import Address, apply
from sinks.bigquery.apply import IncompatibleTable
from sinks.bigquery.columns import Column
from sinks.bigquery.saved_queries import functions, meaning, views
from sinks.bigquery.tables import TABLES
from tests.sinks.conftest import new_address
from tests.sinks.examples import (
    delivery,
    match,
)
from tests.sinks.rows import ask, write
from tests.sinks.servers import BigQuery


def described(columns: tuple[Column, ...]) -> Iterator[str]:
    for column in columns:
        yield column.description
        yield from described(column.columns)


def test_every_column_and_view_is_described() -> None:
    for table in TABLES:
        assert table.description.endswith(".")
        assert all(text.endswith(".") for text in described(table.columns))
    assert (len(views()), len(functions())) == (17, 1)
    for view in [*views(), *functions()]:
        assert view.description.endswith(".")
        assert view.sql.startswith("SELECT")
        assert all(text.endswith(".") for text in view.columns.values())


@pytest.fixture(scope="module")
def applied(bigquery: BigQuery) -> Address:
    """A dataset to which everything was applied. Tests leave it as they found it."""
    address = new_address(bigquery)
    apply(address.rest_client(), address.dataset_id)
    return address


def fields_in(fields: Sequence[google.SchemaField], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    for field in fields:
        yield prefix + field.name, field.description
        yield from fields_in(field.fields, f"{prefix}{field.name}.")


def test_every_column_is_described_on_the_server_and_none_is_described_that_is_not_there(applied: Address) -> None:
    client = applied.rest_client()
    for one in [*TABLES, *views()]:
        found = dict(fields_in(client.get_table(f"{applied.dataset_id}.{one.name}").schema))
        assert [f"{one.name}.{name}" for name, said in found.items() if not (said and said.endswith("."))] == []
        assert set(getattr(one, "columns", ())) <= found.keys() or one in TABLES
    (row,) = ask(
        applied,
        "SELECT description FROM INFORMATION_SCHEMA.COLUMN_FIELD_PATHS "
        "WHERE table_name = 'sightings_by_day' AND column_name = 'sightings'",
    )
    assert row["description"].startswith("In how many faces")


def test_a_column_means_what_it_means_where_it_comes_from() -> None:
    said = {view.name: view for view in views()}
    assert meaning(said["faces"], "box").fields[0].name == "x"  # type: ignore[union-attr]
    assert meaning(said["corrected_matches"], "camera_id").description == "The camera."  # type: ignore[union-attr]
    assert meaning(said["drift_by_day"], "quality").fields == ()  # type: ignore[union-attr]
    assert meaning(said["faces"], "no_such_column") is None


def test_apply_describes_the_columns_of_views_from_before(applied: Address) -> None:
    client = applied.rest_client()
    view = client.get_table(f"{applied.dataset_id}.faces")
    view.schema = [
        google.SchemaField(one.name, one.field_type, mode=one.mode, fields=one.fields) for one in view.schema
    ]
    client.update_table(view, ["schema"])
    assert apply(client, applied.dataset_id, dry_run=True) == ["view faces: described"]
    assert apply(client, applied.dataset_id) == ["view faces: described"]
    assert apply(client, applied.dataset_id) == []


def described_as_before(field: google.SchemaField) -> google.SchemaField:
    inner = [described_as_before(one) for one in field.fields]
    return google.SchemaField(field.name, field.field_type, field.mode, description="As before.", fields=inner)


def test_apply_describes_the_columns_of_tables_from_before_at_every_depth(applied: Address) -> None:
    client = applied.rest_client()
    table = client.get_table(f"{applied.dataset_id}.enrolments")
    wanted = dict(fields_in(table.schema))
    table.schema = [described_as_before(one) for one in table.schema]
    client.update_table(table, ["schema"])
    changes = [change for change in apply(client, applied.dataset_id) if not change.startswith("view ")]
    assert sorted(changes) == sorted(f"column enrolments.{name}: described" for name in wanted)
    assert "column enrolments.quality.score: described" in changes
    assert dict(fields_in(client.get_table(table.reference).schema)) == wanted
    assert apply(client, applied.dataset_id) == []


def test_apply_saves_a_function_anew_that_someone_changed(applied: Address) -> None:
    client = applied.rest_client()
    changed = f"CREATE OR REPLACE TABLE FUNCTION {applied.dataset_id}.faces_at_fmr(a INT64) AS SELECT a AS b"
    client.query_and_wait(changed)
    assert apply(client, applied.dataset_id, dry_run=True) == ["function faces_at_fmr: updated"]
    assert apply(client, applied.dataset_id) == ["function faces_at_fmr: updated"]
    assert apply(client, applied.dataset_id) == []
    assert ask(applied, "SELECT decision_then FROM faces_at_fmr(1e-5) LIMIT 0") == []


def test_apply_creates_everything_once(address: Address) -> None:
    client = address.rest_client()
    names = [f"table {table.name}: created" for table in TABLES] + [f"view {view.name}: created" for view in views()]
    names += [f"function {function.name}: created" for function in functions()]
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


def test_apply_saves_a_view_anew_that_someone_changed(applied: Address) -> None:
    client = applied.rest_client()
    client.query_and_wait(f"CREATE OR REPLACE VIEW {applied.dataset_id}.sightings_by_day AS SELECT 1 AS one")
    assert apply(client, applied.dataset_id) == ["view sightings_by_day: updated"]
    assert ask(applied, "SELECT COUNT(*) AS n FROM sightings_by_day WHERE subject_id IS NULL") == [{"n": 0}]
    assert apply(client, applied.dataset_id) == []


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
