"""Creates and migrates the dataset, the tables, the views and the table functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from string import Template
from typing import Any

from google.api_core import exceptions
from google.cloud import bigquery

from sinks.bigquery.columns import Column, Type
from sinks.bigquery.query import NO_RETRY, calling, run_query
from sinks.bigquery.saved_queries import SavedQuery, functions, meaning, views
from sinks.bigquery.tables import TABLES, Table

TIMEOUT_S = 60.0
_LEGACY_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "RECORD": "STRUCT", "BOOLEAN": "BOOL"}


class IncompatibleTable(Exception):
    """A table exists in a form that adding columns cannot correct; the message says what to do."""


def apply(client: bigquery.Client, dataset: str, *, dry_run: bool = False, location: str | None = None) -> list[str]:
    """Create or migrate a dataset to the form that this release writes.

    Args:
        client: the client to use.
        dataset: ``project.dataset``.
        dry_run: report the changes, but do not make them.
        location: the location of a new dataset; None: BigQuery's default.

    Returns:
        One line for each change.

    Raises:
        IncompatibleTable: a table has to be changed by hand.
        sinks.base.SinkUnavailable: BigQuery does not answer.
        sinks.bigquery.query.QueryFailed: BigQuery refuses a request.
    """
    with calling():
        changes = list(_apply_dataset(client, dataset, location, dry_run))
        for table in TABLES:
            changes += _apply_table(client, dataset, table, dry_run)
        # A view keeps the columns that its tables had when it was saved.
        renew = any(change.startswith("column") for change in changes)
        for view in views():
            sql = Template(view.sql).substitute(dataset=dataset)
            changes += apply_view(client, dataset, view, sql, renew=renew, dry_run=dry_run)
        for function in functions():
            changes += _apply_function(client, dataset, function, dry_run)
    return changes


def _apply_dataset(client: bigquery.Client, dataset: str, location: str | None, dry_run: bool) -> Iterable[str]:
    try:
        client.get_dataset(dataset, retry=NO_RETRY, timeout=TIMEOUT_S)
    except exceptions.NotFound:
        if not dry_run:
            fresh = bigquery.Dataset(dataset)
            fresh.description = "Answers of facestream: who was recognised, enrolled, and what could not be processed."
            fresh.location = location
            client.create_dataset(fresh, exists_ok=True, retry=NO_RETRY, timeout=TIMEOUT_S)
        yield f"dataset {dataset}: created"


def get_table(client: bigquery.Client, name: str) -> bigquery.Table | None:
    """A table or view; None if there is none of this name."""
    try:
        return client.get_table(name, retry=NO_RETRY, timeout=TIMEOUT_S)
    except exceptions.NotFound:
        return None


def _apply_table(client: bigquery.Client, dataset: str, table: Table, dry_run: bool) -> Iterable[str]:
    name = f"{dataset}.{table.name}"
    existing = get_table(client, name)
    if existing is None:
        if not dry_run:
            client.create_table(_new_table(name, table), exists_ok=True, retry=NO_RETRY, timeout=TIMEOUT_S)
        yield f"table {table.name}: created"
        return
    _check_layout(existing, table)
    changes: list[str] = []
    schema = _merged(existing.schema, table.columns, table.name, changes)
    if existing.description != table.description:
        changes.append(f"table {table.name}: described")
    if changes and not dry_run:
        existing.schema = schema
        existing.description = table.description
        client.update_table(existing, ["schema", "description"], retry=NO_RETRY, timeout=TIMEOUT_S)
    yield from changes


def _new_table(name: str, table: Table) -> bigquery.Table:
    fresh = bigquery.Table(name, schema=[_field(column) for column in table.columns])
    fresh.description = table.description
    fresh.time_partitioning = bigquery.TimePartitioning(field=table.decided_at)
    fresh.clustering_fields = list(table.cluster_by)
    return fresh


def _check_layout(existing: bigquery.Table, table: Table) -> None:
    """Raise if partitioning or clustering differ: BigQuery cannot change the first, and we do not change the second."""
    day = existing.time_partitioning
    found = (existing.table_type, day.field if day else None, tuple(existing.clustering_fields or ()))
    wanted = ("TABLE", table.decided_at, table.cluster_by)
    if found != wanted:
        raise IncompatibleTable(
            f"{existing.reference} is a {found[0]} partitioned by {found[1]} and clustered by "
            f"{', '.join(found[2]) or 'nothing'}, not a {wanted[0]} by {wanted[1]} and {', '.join(wanted[2])}: "
            "copy it under another name, delete it, apply again, and insert the rows of the copy"
        )


def _merged(
    existing: Sequence[bigquery.SchemaField], columns: Sequence[Column], path: str, changes: list[str]
) -> list[bigquery.SchemaField]:
    """The existing fields with the missing ones added; fields that are not ours are left alone."""
    wanted = {column.name.lower(): column for column in columns}
    merged = []
    for field in existing:
        column = wanted.pop(field.name.lower(), None)
        merged.append(field if column is None else _merged_field(field, column, f"{path}.{field.name}", changes))
    for column in wanted.values():
        changes.append(f"column {path}.{column.name}: added")
        # Existing rows have no value, so the new column cannot be required.
        merged.append(_field(column, mode="NULLABLE" if column.mode == "REQUIRED" else column.mode.value))
    return merged


def _merged_field(field: bigquery.SchemaField, column: Column, path: str, changes: list[str]) -> bigquery.SchemaField:
    type_ = _LEGACY_NAMES.get(field.field_type, field.field_type)
    if type_ != column.type or (field.mode == "REPEATED") != (column.mode == "REPEATED"):
        raise IncompatibleTable(
            f"column {path} is {field.mode} {type_}, and {column.mode} {column.type} is needed: rename it with "
            "ALTER TABLE … RENAME COLUMN, apply again, and copy its values with UPDATE"
        )
    inner = _merged(field.fields, column.columns, path, changes)
    if field.description != column.description:
        changes.append(f"column {path}: described")
    return bigquery.SchemaField(
        field.name, field.field_type, mode=field.mode, description=column.description, fields=inner
    )


def _field(column: Column, mode: str | None = None) -> bigquery.SchemaField:
    return bigquery.SchemaField(
        column.name,
        "RECORD" if column.type is Type.STRUCT else column.type.value,
        mode=mode or column.mode.value,
        description=column.description,
        fields=[_field(inner) for inner in column.columns],
    )


def apply_view(
    client: bigquery.Client, dataset: str, view: SavedQuery, sql: str, *, renew: bool = False, dry_run: bool = False
) -> Iterable[str]:
    """Create or update one view, and describe its columns.

    Args:
        client: the client to use.
        dataset: ``project.dataset`` of the view.
        view: its name, and what it and its columns mean.
        sql: its query.
        renew: save it anew even if its query is the same.
        dry_run: report the changes, but do not make them.

    Returns:
        One line for each change.

    Raises:
        IncompatibleTable: something else has its name.
    """
    name = f"{dataset}.{view.name}"
    existing = get_table(client, name)
    if existing is None:
        if not dry_run:
            fresh = _view_resource(name, view, sql)
            _describe(client, view, client.create_table(fresh, exists_ok=True, retry=NO_RETRY, timeout=TIMEOUT_S))
        yield f"view {view.name}: created"
        return
    if existing.table_type != "VIEW":
        raise IncompatibleTable(f"{name} is a {existing.table_type}, and a view of that name is needed: rename it")
    if renew or existing.view_query != sql or existing.description != view.description:
        if not dry_run:
            # A statement, because a compatible server may store an update without applying it; then the exact text.
            run_query(client, f"CREATE OR REPLACE VIEW `{name}` AS {sql}", timeout_s=TIMEOUT_S)
            saved = _view_resource(name, view, sql)
            client.update_table(saved, ["view_query", "description"], retry=NO_RETRY, timeout=TIMEOUT_S)
            _describe(client, view, client.get_table(name, retry=NO_RETRY, timeout=TIMEOUT_S))
        yield f"view {view.name}: updated"
    elif _described(view, existing.schema) != list(existing.schema):
        if not dry_run:
            _describe(client, view, existing)
        yield f"view {view.name}: described"


def _view_resource(name: str, view: SavedQuery, sql: str) -> bigquery.Table:
    fresh: Any = bigquery.Table(name)
    fresh.view_query = sql
    fresh.description = view.description
    table: bigquery.Table = fresh
    return table


def _describe(client: bigquery.Client, view: SavedQuery, saved: bigquery.Table) -> None:
    """Describe the columns of a view, whose names and types are what its query gives."""
    saved.schema = _described(view, saved.schema)
    client.update_table(saved, ["schema"], retry=NO_RETRY, timeout=TIMEOUT_S)


def _described(view: SavedQuery, schema: Sequence[bigquery.SchemaField]) -> list[bigquery.SchemaField]:
    fields = []
    for one in schema:
        said = meaning(view, one.name)
        fields.append(one if said is None else _with_meaning(one, said.description, said.fields))
    return fields


def _with_meaning(one: bigquery.SchemaField, description: str, inner: Sequence[Column] = ()) -> bigquery.SchemaField:
    columns = {column.name: column for column in inner}
    fields = [
        _with_meaning(part, column.description, column.columns) if (column := columns.get(part.name)) else part
        for part in one.fields
    ]
    return bigquery.SchemaField(one.name, one.field_type, mode=one.mode, description=description, fields=fields)


def _apply_function(client: bigquery.Client, dataset: str, function: SavedQuery, dry_run: bool) -> Iterable[str]:
    name = f"{dataset}.{function.name}"
    sql = Template(function.sql).substitute(dataset=dataset)
    try:
        existing = client.get_routine(name, retry=NO_RETRY, timeout=TIMEOUT_S)
    except exceptions.NotFound:
        existing = None
    # BigQuery keeps the text; a compatible server may write blanks and operators in another form.
    if existing and existing.body.split() == sql.split() and existing.description == function.description:
        return
    if not dry_run:
        parameters = ", ".join(f"{one.name} {one.type}" for one in function.parameters)
        options = f"OPTIONS (description = {json.dumps(function.description)})"
        run_query(client, f"CREATE OR REPLACE TABLE FUNCTION `{name}`({parameters}) {options} AS {sql}")
    yield f"function {function.name}: {'updated' if existing else 'created'}"
