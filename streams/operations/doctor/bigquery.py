"""Checks BigQuery: its REST and Storage Write API, and whether tables and views fit this release."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import google.auth.exceptions
import requests
from google.api_core import exceptions
from google.cloud.bigquery_storage_v1.types import WriteStream

from schemas.clock import utc_now
from schemas.dead_letters import Resolution, ResolutionState
from sinks.base import Delivery, SinkUnavailable
from sinks.bigquery import Address, apply, run_query
from sinks.bigquery.appender import Append, Appender, StreamLost
from sinks.bigquery.apply import IncompatibleTable
from sinks.bigquery.query import NO_RETRY, QueryFailed, calling
from sinks.bigquery.rows import row_writer
from sinks.bigquery.tables import MATCHES
from streams.kafka.messages import TopicPartition
from streams.operations.doctor.away import explained
from streams.operations.doctor.finding import Finding, Status, fail, ok, warn
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings

_ANSWER_S = 3.0
_APPEND_S = 10.0
_FORBIDDEN = (exceptions.Forbidden, exceptions.Unauthorized)


def check(settings: Settings) -> Iterator[Finding]:
    """Ask both interfaces, compare the tables, query one, and append a row that is never visible."""
    dataset = _dataset(settings)
    complete = False
    try:
        _ask(dataset)
        changes = apply(dataset.rest_client(), dataset.dataset_id, dry_run=True)
    except google.auth.exceptions.DefaultCredentialsError as error:
        yield explained(fail("bigquery", _line(error), Remedy.BIGQUERY_CREDENTIALS()), settings, "bigquery", None)
        return
    except SinkUnavailable as error:
        yield _away(error, settings)
    except IncompatibleTable as error:
        yield fail("bigquery tables", _line(error), Remedy.INCOMPATIBLE())
    except QueryFailed as error:
        yield fail("bigquery tables", _line(error), Remedy.BIGQUERY_RIGHTS())
    else:
        yield ok("bigquery", f"answers at {settings.bigquery_rest or 'Google'}")
        tables = _tables(dataset, changes)
        complete = tables.status is not Status.FAIL
        yield tables
    yield _write_api(dataset, complete, settings)


def usable(settings: Settings) -> bool:
    """Whether the sink could write now, as far as a quick check can tell."""
    dataset = _dataset(settings)
    try:
        _ask(dataset)
        return _append(dataset) is None
    except (SinkUnavailable, QueryFailed, exceptions.GoogleAPICallError, google.auth.exceptions.GoogleAuthError):
        return False


def _dataset(settings: Settings) -> Address:
    return Address(settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc)


def _away(error: SinkUnavailable, settings: Settings) -> Finding:
    where = settings.bigquery_rest or "Google"
    if isinstance(error.__cause__, _FORBIDDEN):
        return fail("bigquery", f"refuses us at {where}: {_line(error)}", Remedy.BIGQUERY_RIGHTS())
    hangs = isinstance(error.__cause__, requests.ReadTimeout)
    if hangs:
        return fail("bigquery", f"no answer at {where}: {_line(error)}", Remedy.HANGS())
    away = fail("bigquery", f"no answer at {where}: {_line(error)}", Remedy.BIGQUERY_AWAY())
    return explained(away, settings, "bigquery", settings.bigquery_rest)


def _ask(dataset: Address) -> None:
    """Check that it answers soon, since examining the tables may take longer."""
    with calling(), suppress(exceptions.NotFound):
        dataset.rest_client().get_dataset(dataset.dataset_id, retry=NO_RETRY, timeout=_ANSWER_S)


def _tables(dataset: Address, changes: list[str]) -> Finding:
    name = "bigquery tables"
    if changes:
        # Without a table or a column the sink cannot write; views are for analysts.
        vital = [change for change in changes if change.startswith(("dataset", "table", "column"))]
        needed = [change for change in vital if change.endswith(("created", "added"))]
        judge = fail if needed else warn
        return judge(name, f"to be done in {dataset.dataset_id}: {'; '.join(changes)}", Remedy.APPLY())
    try:
        run_query(dataset.rest_client(), f"SELECT event_id FROM `{dataset.dataset_id}.{MATCHES.name}` LIMIT 1")
    except (SinkUnavailable, QueryFailed) as error:
        return fail(name, f"cannot be asked: {_line(error)}", Remedy.BIGQUERY_RIGHTS())
    return ok(name, f"{dataset.dataset_id} is as it should be, and can be asked")


def _write_api(dataset: Address, complete: bool, settings: Settings) -> Finding:
    where, name = dataset.grpc or "Google", "bigquery storage write"
    try:
        trouble = _append(dataset)
    except (exceptions.NotFound, exceptions.InvalidArgument) as error:
        if not complete:  # There is no table to write to, as has been said.
            return ok(name, f"answers at {where}; nothing could be appended without the table")
        return fail(name, f"takes no rows at {where}: {_line(error)}", Remedy.APPLY())
    except exceptions.PermissionDenied as error:
        return fail(name, f"takes no rows at {where}: {_line(error)}", Remedy.BIGQUERY_WRITE_AWAY())
    except (exceptions.GoogleAPICallError, google.auth.exceptions.GoogleAuthError) as error:
        # A new connection begins with the server's HTTP/2 settings.
        hangs = isinstance(error, exceptions.DeadlineExceeded) or "before receiving SETTINGS" in str(error)
        if hangs:
            return fail(name, f"no answer at {where}: {_line(error)}", Remedy.HANGS())
        away = fail(name, f"no answer at {where}: {_line(error)}", Remedy.BIGQUERY_WRITE_AWAY())
        return explained(away, settings, "bigquery", dataset.grpc)
    if trouble is not None:
        return fail(name, f"takes no rows at {where}: {trouble}", Remedy.BIGQUERY_WRITE_AWAY())
    return ok(name, f"takes rows at {where}")


def _append(dataset: Address) -> str | None:
    """Append a row through a stream of type PENDING, which is never committed, so that no query sees it.

    Returns:
        Why it was not taken; None if it was.

    Raises:
        GoogleAPICallError, GoogleAuthError: the server does not answer, or knows no such table.
    """
    client, rows, now = dataset.write_client(), row_writer(Resolution), utc_now()
    table = f"projects/{dataset.project}/datasets/{dataset.dataset}/tables/{rows.table.name}"
    stream = client.create_write_stream(
        parent=table, write_stream=WriteStream(type_="PENDING"), retry=None, timeout=_ANSWER_S
    )
    probe = Resolution("doctor", "doctor", "doctor", ResolutionState.SENDING, "doctor", now)
    delivery = Delivery(TopicPartition("doctor", 0), 0, probe)
    appender = Appender(client, stream.name, rows.descriptor)
    try:
        appender.send(Append([rows.row(delivery, now)], [delivery]))
        refused = appender.settle(time.monotonic() + _APPEND_S, lambda _: None)
        # Whatever is in it is thrown away with it.
        client.finalize_write_stream(name=stream.name, retry=None, timeout=_ANSWER_S)
    except (SinkUnavailable, StreamLost) as error:
        return _line(error)
    finally:
        appender.disconnect()
        client.transport.close()  # type: ignore[no-untyped-call]
    return None if refused is None else f"{refused.message} {' '.join(refused.reasons.values())}".strip()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
