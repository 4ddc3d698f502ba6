"""Queries BigQuery: every request has a deadline, and every transient failure raises ``SinkUnavailable``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import google.auth.exceptions
import requests
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.cloud import bigquery

from sinks.base import SinkUnavailable

Parameter = bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter
NO_RETRY = Retry(predicate=if_exception_type())
"""The library would retry for ten minutes; here the caller retries, and can say why it waits."""
_TRANSIENT = (
    exceptions.ServerError,
    exceptions.TooManyRequests,
    exceptions.RetryError,
    exceptions.Cancelled,
    exceptions.Unauthorized,
    exceptions.Forbidden,
    google.auth.exceptions.TransportError,
    google.auth.exceptions.RefreshError,
    requests.RequestException,
    ConnectionError,
    TimeoutError,
)


_failed_attempts: dict[str, int] = {}
"""By name of a statement, the number of attempts that are known to have failed, so that each is looked up once."""
_TRANSPORT = re.compile(r"^[A-Z]+ https?://\S+: ")
"""The request, which the library puts before the error message."""


class QueryFailed(Exception):
    """BigQuery refuses the query, because it is invalid or names something that does not exist; see the message."""


class NotThere(QueryFailed):
    """The dataset, table or view does not exist."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a query, the bytes that it reads (None if the server does not report them), and its columns."""

    rows: list[dict[str, Any]]
    bytes_processed: int | None
    columns: tuple[str, ...] = ()


def run_query(
    client: bigquery.Client,
    sql: str,
    parameters: Sequence[Parameter] = (),
    *,
    dataset: str | None = None,
    dry_run: bool = False,
    timeout_s: float = 60.0,
) -> Answer:
    """Run one query; ``dataset`` (``project.dataset``) is the dataset of unqualified table names.

    Raises:
        SinkUnavailable: there was no answer in time, or BigQuery is temporarily unable to answer.
        QueryFailed: BigQuery refuses the query.
    """
    config = bigquery.QueryJobConfig(query_parameters=list(parameters), dry_run=dry_run)
    if dataset is not None:
        config.default_dataset = dataset
    with calling():
        if dry_run:
            job = client.query(sql, job_config=config, retry=NO_RETRY, timeout=timeout_s, job_retry=None)
            return Answer([], job.total_bytes_processed)
        found = client.query_and_wait(
            sql, job_config=config, retry=NO_RETRY, job_retry=NO_RETRY, api_timeout=timeout_s, wait_timeout=timeout_s
        )
        rows = [dict(row.items()) for row in found]
        return Answer(rows, found.total_bytes_processed, tuple(field.name for field in found.schema))


def change_once(
    client: bigquery.Client, sql: str, parameters: Sequence[Parameter], *, name: str, table: str, timeout_s: float
) -> int:
    """Run a statement that changes rows, once under its name, however often it is requested.

    If the statement is running already, this waits for it: a statement whose answer was lost continues in BigQuery, and
    a repetition could change rows that came in between. BigQuery remembers the names of jobs for six months.

    Args:
        client: the client to use.
        sql: a statement that changes rows of the table.
        parameters: of the statement.
        name: of the statement: letters, digits and dashes.
        table: ``project.dataset.table``.
        timeout_s: how long to wait for each answer.

    Returns:
        The number of changed rows.

    Raises:
        SinkUnavailable: there was no answer in time, or BigQuery is temporarily unable to answer.
        QueryFailed: BigQuery refuses the statement.
    """
    config = bigquery.QueryJobConfig(query_parameters=list(parameters))
    with calling():
        for attempt in itertools.count(_failed_attempts.get(name, 0)):
            job_id = f"{name}-{attempt}"
            try:
                job = client.query(
                    sql, job_id=job_id, job_config=config, retry=NO_RETRY, job_retry=None, timeout=timeout_s
                )
            except exceptions.Conflict:
                location = client.get_table(table, retry=NO_RETRY, timeout=timeout_s).location
                known = client.get_job(job_id, location=location, retry=NO_RETRY, timeout=timeout_s)
                job = cast(bigquery.QueryJob, known)
                if job.error_result:
                    _failed_attempts[name] = attempt + 1  # It has ended, and changed nothing.
                    continue
            job.result(retry=NO_RETRY, job_retry=None, timeout=timeout_s)
            _failed_attempts.pop(name, None)
            return int(job.num_dml_affected_rows or 0)
    raise AssertionError


def table_names(client: bigquery.Client, dataset: str, timeout_s: float = 60.0) -> list[str]:
    """The tables and views of a dataset (``project.dataset``).

    Raises:
        SinkUnavailable: there was no answer in time, or BigQuery is temporarily unable to answer.
        NotThere: the dataset does not exist.
    """
    with calling():
        return sorted(table.table_id for table in client.list_tables(dataset, retry=NO_RETRY, timeout=timeout_s))


@contextmanager
def calling() -> Iterator[None]:
    """A context manager that translates the client library's errors into ours.

    Raises:
        SinkUnavailable: the request may succeed later.
        QueryFailed: it will not.
    """
    try:
        yield
    except _TRANSIENT as error:
        raise SinkUnavailable(f"BigQuery: {type(error).__name__}: {error}") from error
    except exceptions.GoogleAPICallError as error:
        failed = NotThere if isinstance(error, exceptions.NotFound) else QueryFailed
        raise failed(_TRANSPORT.sub("", error.message or str(error))) from error
