"""Runs ``local-bigquery`` with some corrections, in the Python of ``.venv-bigquery``; configured by its environment."""

import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import duckdb  # type: ignore[import-not-found,unused-ignore]
import uvicorn  # type: ignore[import-not-found,unused-ignore]
from local_bigquery.catalog import tabledata, tables  # type: ignore[import-not-found]
from local_bigquery.engine import database, types  # type: ignore[import-not-found]
from local_bigquery.grpc import server, write  # type: ignore[import-not-found]
from local_bigquery.jobs import query  # type: ignore[import-not-found]
from local_bigquery.settings import settings  # type: ignore[import-not-found]
from local_bigquery.sql.rules import partitions  # type: ignore[import-not-found]


def find_data_where_they_are() -> None:
    """Correct the data path in catalogues of earlier releases, which is that of the folder at the time."""
    for catalogue in settings.data_dir.glob("*.ducklake"):
        data = f"{catalogue.with_suffix('')}/"
        with duckdb.connect(str(catalogue)) as opened:
            opened.execute(
                "UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path' AND scope IS NULL AND value != ?",
                [data, data],
            )


def append_one_at_a_time() -> None:
    """Make an append check its offset and write its rows in one step, as BigQuery does.

    Otherwise an append that is sent again on a new connection, while the first is still in progress on the old one, is
    written twice.
    """
    append = write._append
    locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def append_alone(stream: Any, *rest: Any) -> Any:
        with locks[stream.name]:
            return append(stream, *rest)

    write._append = append_alone


def add_columns_within_records() -> None:
    """Make an update of a table's schema add fields to records and to arrays of records, as BigQuery does.

    Otherwise the server reports success, but adds only new columns of the table itself.
    """
    alter = tables._alter

    def missing(there: Any, wanted: Any) -> Iterator[tuple[str, Any]]:
        known = {field.name.casefold(): field for field in there or []}
        for field in wanted or []:
            existing = known.get(field.name.casefold())
            if existing is None:
                yield "", field
            elif existing.type in ("RECORD", "STRUCT"):
                within = database.quote(existing.name) + (".element." if existing.mode == "REPEATED" else ".")
                yield from ((within + path, new) for path, new in missing(existing.fields, field.fields))

    def alter_records_too(project: str, dataset: str, table: str, fields: Any) -> None:
        alter(project, dataset, table, fields)
        for path, field in missing(tables.columns(project, dataset, table), fields):
            column = f"{path}{types.column(field, nested=True)}"
            database.execute(f"ALTER TABLE {tables.name(project, dataset, table)} ADD COLUMN {column}")

    tables._alter = alter_records_too


def look_up_one_table_at_a_time() -> None:
    """Let a question about one table read the catalogue's entry of that table.

    Otherwise each goes through all tables of all datasets, and binds every view: the more there are, the longer it
    takes to create the next one.
    """
    objects, is_hidden = database.objects, partitions._hidden

    # The tables of a DuckLake catalogue are laid down by its specification.
    def catalogue(project: str) -> str:
        return database.quote(f"__ducklake_metadata_{project}")  # type: ignore[no-any-return]

    def there(project: str) -> str:
        return f"""JOIN {catalogue(project)}.ducklake_schema AS dataset USING (schema_id)
            WHERE it.end_snapshot IS NULL AND dataset.end_snapshot IS NULL AND schema_name = $1"""

    def result_table(*name: str) -> list[tuple[str, str, int]]:
        """A table with the rows of an answer, of which there are as many as questions were asked."""
        with database.cursor() as cursor:
            try:
                (rows,) = cursor.execute(f"SELECT count(*) FROM {database.quote(*name)}").fetchone()
            except duckdb.CatalogException:
                return []
        return [(name[-1], "TABLE", rows)]

    def one_object(project: str, dataset: str, table: str | None = None) -> list[tuple[str, str, int]]:
        if table is not None and dataset == tables.RESULTS:
            return result_table(project, dataset, table)
        if table is None or project not in database._attached:
            return objects(project, dataset, table)  # type: ignore[no-any-return]
        of = catalogue(project)
        return database.fetch(  # type: ignore[no-any-return]
            f"""SELECT table_name, 'TABLE', coalesce(record_count, 0) FROM {of}.ducklake_table AS it
            LEFT JOIN {of}.ducklake_table_stats USING (table_id) {there(project)} AND table_name = $2
            UNION ALL SELECT view_name, 'VIEW', 0 FROM {of}.ducklake_view AS it {there(project)} AND view_name = $2""",
            [dataset, table],
        )

    def has_columns(project: str, dataset: str, table: str, which: str) -> set[str]:
        """The columns of a table, none of a view, of which a condition is true."""
        found = database.fetch(
            f"""SELECT column_name FROM {catalogue(project)}.ducklake_column AS part
            JOIN {catalogue(project)}.ducklake_table AS it USING (table_id) {there(project)} AND table_name = $2
            AND part.end_snapshot IS NULL AND parent_column IS NULL AND {which}""",
            [dataset, table],
        )
        return {column for (column,) in found}

    def hidden(table: Any) -> bool:
        if table.catalog in database._attached and table.db:
            which = f"column_name = '{tables.INGESTION_TIME}'"
            return bool(has_columns(table.catalog, table.db, table.name, which))
        return is_hidden(table)  # type: ignore[no-any-return]

    def columns(project: str, dataset: str, table: str) -> list[Any]:
        name = tables.name(project, dataset, table)
        stored = dataset != tables.RESULTS and project in database._attached
        with database.cursor() as cursor:
            try:
                relation = cursor.sql(f"FROM {name} LIMIT 0")
                if stored:
                    required = has_columns(project, dataset, table, "NOT nulls_allowed")
                else:
                    found = cursor.execute('SELECT name FROM pragma_table_info(?) WHERE "notnull"', [name]).fetchall()
                    required = {column for (column,) in found}
            except duckdb.CatalogException:
                raise tables.not_found("Table", tables.names.label(project, dataset, table)) from None
            return [
                types.field(column, type_, column in required)
                for column, type_ in zip(relation.columns, relation.types, strict=True)
                if column != tables.INGESTION_TIME or dataset == tables.RESULTS
            ]

    database.objects, tables.columns, partitions._hidden = one_object, columns, hidden


def bind_a_view_once() -> None:
    """Keep the columns of tables and views until some table or view changes.

    To know them, DuckDB binds a view and all views below it, and the server asks for them several times for each
    request and for each query.
    """
    look_up = tables.columns
    kept: dict[tuple[str, str, str], list[Any]] = {}
    version: dict[str, int] = {}

    def columns(project: str, dataset: str, table: str) -> list[Any]:
        nonlocal kept, version
        if dataset == tables.RESULTS or project not in database._attached:
            return look_up(project, dataset, table)  # type: ignore[no-any-return]
        now = {}
        for each in sorted(database._attached):
            catalogue = database.quote(f"__ducklake_metadata_{each}")
            newest = f"SELECT max_by(schema_version, snapshot_id) FROM {catalogue}.ducklake_snapshot"
            ((now[each],),) = database.fetch(newest)
        if now != version:
            kept, version = {}, now
        known = kept
        if (found := known.get((project, dataset, table))) is None:
            found = known[project, dataset, table] = look_up(project, dataset, table)
        return list(found)

    tables.columns = tabledata.columns = columns


class CursorThatDescribes:
    """A cursor of DuckDB that finds out what columns the answer to a question has without answering it."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._described: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def sql(self, query: str, *, params: Any = None) -> Any:
        """The columns of a question with parameters; the answer to one without, which DuckDB defers by itself."""
        if not params:
            return self._cursor.sql(query)
        if query not in self._described:
            self._described[query] = self._cursor.sql(f"FROM ({query}) LIMIT 0", params=params)
        return self._described[query]


def answer_once() -> None:
    """Run each query once.

    Otherwise one with parameters runs three times: the server makes a relation of it twice to look at its columns, and
    DuckDB answers at once what has parameters.
    """
    write = tables.write

    def write_once(cur: Any, query: str, *rest: Any, isolated: bool = False, **named: Any) -> Any:
        # What is isolated is read from the relation.
        return write(cur if isolated else CursorThatDescribes(cur), query, *rest, isolated=isolated, **named)

    tables.write = write_once


class NewCursor:
    """A cursor of DuckDB that knows that it has no temporary tables yet; to look for them, DuckDB lists all tables."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def sql(self, query: str, **named: Any) -> Any:
        """The answer to a question."""
        if query == "SELECT table_name FROM duckdb_tables() WHERE temporary":
            return self._cursor.sql("SELECT '' AS table_name LIMIT 0")
        return self._cursor.sql(query, **named)


def list_no_tables_for_a_question() -> None:
    """Look for temporary tables in sessions only, which may have some."""
    execute = query.execute

    def execute_new(cursor: Any, *rest: Any, session: Any = None, **named: Any) -> Any:
        return execute(cursor if session else NewCursor(cursor), *rest, session=session, **named)

    query.execute = execute_new


def look_for_pandas_once() -> None:
    """Let DuckDB know that pandas is not there: it tries to import it for every argument of every statement."""
    sys.modules["pandas"] = None  # type: ignore[assignment]


def main() -> None:
    """Serve until SIGTERM, without a log line per request.

    DuckDB has less memory than its default of 80 %, and one thread for each request: it shares out even the smallest
    question otherwise, which takes a fifth more CPU time of the creation of the tables and views.
    """
    look_for_pandas_once()
    find_data_where_they_are()
    append_one_at_a_time()
    add_columns_within_records()
    look_up_one_table_at_a_time()
    bind_a_view_once()
    answer_once()
    list_no_tables_for_a_question()
    database.connection().execute("SET memory_limit = '1GB'; SET threads = 1")
    storage, _ = server.start(settings.bigquery_host, settings.grpc_port)
    uvicorn.run("local_bigquery:app", host=settings.bigquery_host, port=settings.bigquery_port, access_log=False)
    storage.stop(None)


if __name__ == "__main__":
    main()
