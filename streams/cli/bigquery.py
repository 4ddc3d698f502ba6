"""``facestream bigquery apply|query|fill``."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Format, Json, Output, TableFormat, grid, json_text, load_settings
from streams.text import pluralize

if TYPE_CHECKING:
    from google.cloud.bigquery import Client
    from rich.progress import Progress, TaskID

    from sinks.bigquery import Address
    from streams.operations.table_backfill import TableBackfilled

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
_DATASET = re.compile(r"\w+", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][\w.-]*")


class NoBigQuery(Exception):
    """Neither a local server nor a Google Cloud project is configured."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Create the tables and views of BigQuery, query them, or fill them again."
    )
    group.command("apply")(apply)
    group.command("query")(query)
    group.command("fill")(fill)
    app.add_typer(group, name="bigquery", rich_help_panel=LOOK)


def apply(
    dry_run: DryRun = False,
    location: Annotated[str | None, typer.Option(help="Location of a new dataset, e.g. EU.")] = None,
    analysts: Annotated[
        str | None,
        typer.Option(metavar="DATASET", help="Dataset to make views without names in, e.g. facestream_analysts."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create or migrate dataset, tables and views. Safe to repeat.

    With --analysts, also make views in a second dataset, which have pseudonyms instead of the names of users, subjects
    and cameras. They may read the first dataset; those who may only read the second see no names.
    """
    from sinks import bigquery

    output = Output(as_json)
    address = _address()
    if analysts is not None and (analysts == address.dataset or not _DATASET.fullmatch(analysts)):
        raise typer.BadParameter(
            f"{analysts!r} cannot be the dataset for analysts: name another one, without its project"
        )
    client = address.rest_client()
    changes = bigquery.apply(client, address.dataset_id, dry_run=dry_run, location=location)
    if analysts is not None:
        views = f"{address.project}.{analysts}"
        changes += bigquery.apply_for_analysts(client, address.dataset_id, views, dry_run=dry_run)
    for change in changes:
        output.say(f"{'would be: ' if dry_run else ''}{change}")
    if not changes:
        output.say(f"{address.dataset_id} is as it should be")
    output.finish({"dataset": address.dataset_id, "dry_run": dry_run, "changes": list(changes)})


def query(
    sql: Annotated[str, typer.Argument(help="SQL, the name of a table or view, or - for SQL from stdin.")],
    limit: Annotated[int, typer.Option(min=1, help="With a name: most rows to show.")] = 100,
    dry_run: DryRun = False,
    form: TableFormat = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Query BigQuery and show the rows; tables and views may be named without their dataset.

    With --format csv, numbers have all their digits, times are in ISO 8601, and records and lists are JSON.
    """
    from sinks import bigquery
    from sinks.bigquery.query import NotThere

    output = Output(as_json, form)
    text = sys.stdin.read() if sql == "-" else sql
    if not text.strip():
        raise typer.BadParameter("the query is empty")
    address = _address()
    client = address.rest_client()
    if _NAME.fullmatch(text.strip()):
        text = f"SELECT * FROM `{text.strip()}` LIMIT {limit}"
    try:
        answer = bigquery.run_query(client, text, dataset=address.dataset_id, dry_run=dry_run)
    except NotThere as error:
        raise NotThere(f"{error}; {_what_is_there(client, address.dataset_id)}") from error
    if dry_run:
        output.say(f"{answer.bytes_processed} bytes would be read")
    else:
        if output.csv:
            output.rows(answer.columns, (row.values() for row in answer.rows))
        elif answer.rows:
            _show(answer.rows, output)
        output.say(pluralize(len(answer.rows), "row"))
    output.finish({"rows": answer.rows, "bytes_processed": answer.bytes_processed})


def fill(
    tables: Annotated[list[str] | None, typer.Argument(help="Tables to fill. Default: all.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Fill a table that was deleted or emptied from what Kafka still has, each event once.

    Missing tables are created. The sink may keep running, and nothing else is affected. Safe to stop and to repeat:
    existing rows are not written twice.
    """
    from sinks import bigquery
    from streams.operations.table_backfill import TableBackfill
    from streams.operations.written_log import topics_of_tables

    known = topics_of_tables()
    if strange := [name for name in tables or [] if name not in known]:
        raise typer.BadParameter(f"there is no table {strange[0]!r}: {', '.join(known)} can be filled")
    output, settings, address = Output(as_json), load_settings(), _address()
    if not dry_run:
        for change in bigquery.apply(address.rest_client(), address.dataset_id):
            output.say(change)
    shown = grid("table", "#filled", "#there", "#erased", "#unreadable", "#refused", "#gone", "Kafka has all since")
    results = []
    try:
        with output.progress() as bar:
            for name in dict.fromkeys(tables or known):
                task = bar.add_task(name, total=None, note="")
                report = partial(_progress, bar, task)
                with TableBackfill(settings, known[name], dry_run=dry_run, report=report) as one:
                    found = one.run()
                since = f"{found.kept_since:%Y-%m-%d %H:%M:%S} UTC" if found.kept_since else "the beginning"
                counts = (found.filled, found.there, found.erased, found.unreadable, found.refused, found.gone)
                shown.add_row(name, *map(str, counts), since)
                results.append(_plain(found))
    except KeyboardInterrupt:
        output.warn("stopped; run it again to go on: rows that are there are not written twice")
        raise
    finally:
        if results:
            output.table(shown)
        filled = sum(one["filled"] for one in results)
        output.say(f"{pluralize(filled, 'row')} {'would be written' if dry_run else 'written'}")
        if gone := sum(one["gone"] for one in results):
            output.warn(
                f"{pluralize(gone, 'earlier message')} at most cannot be filled: Kafka does not have them any more"
            )
        output.finish({"tables": results, "dry_run": dry_run})


def _progress(bar: Progress, task: TaskID, read: int, planned: int) -> None:
    bar.update(task, completed=read, total=max(planned, read))


def _plain(found: TableBackfilled) -> dict[str, Any]:
    """The result of filling a table, for programs."""
    from dataclasses import asdict

    since = found.kept_since.isoformat() if found.kept_since else None
    return asdict(found) | {"kept_since": since}


def _address() -> Address:
    from sinks.bigquery import Address

    now = load_settings()
    if now.bigquery_rest is None and "bigquery_project" not in now.model_fields_set:
        raise NoBigQuery(
            "no BigQuery is configured: start one with `facestream up`, or set FACESTREAM_BIGQUERY_PROJECT for Google's"
        )
    return Address(now.bigquery_project, now.bigquery_dataset, now.bigquery_rest, now.bigquery_grpc)


def _what_is_there(client: Client, dataset_id: str) -> str:
    from sinks.bigquery.query import NotThere, table_names

    try:
        names = table_names(client, dataset_id)
    except NotThere:
        names = []
    if not names:
        return f"{dataset_id} is empty: `facestream bigquery apply` creates tables and views"
    return f"there are {', '.join(names)}"


def _show(rows: Sequence[Mapping[str, Any]], output: Output) -> None:
    """Show one line a row, or on a narrow terminal one line a value."""
    table = grid()
    for name in rows[0]:
        table.add_column(escape(name), no_wrap=True)
    for row in rows:
        table.add_row(*(escape(_shown(value)) for value in row.values()))
    if output.fits(table):
        output.table(table)
        return
    for row in rows:
        for name, value in row.items():
            output.say(f"{name}: {_shown(value)}".rstrip())
        output.say("")


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        # No exponent where a person would write none.
        return f"{value:.0f}" if 1_000 <= abs(value) < 1e15 else f"{value:.4g}"
    return json_text(value) if isinstance(value, dict | list) else str(value)
