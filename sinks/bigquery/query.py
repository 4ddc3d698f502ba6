"""Ask BigQuery: every request with a deadline, every transient failure as ``SinkUnavailable``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import google.auth.exceptions
import requests
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.cloud import bigquery

from sinks.base import SinkUnavailable

Parameter = bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter
NO_RETRY = Retry(predicate=if_exception_type())
"""The library would retry for ten minutes; here the caller does, and knows why it waits."""
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


_TRANSPORT = re.compile(r"^[A-Z]+ https?://\S+: ")
"""The library says before the error how it asked."""


class QueryFailed(Exception):
    """BigQuery refuses the query: it is wrong, or names what does not exist. Its message says which."""


class NotThere(QueryFailed):
    """A dataset, table or view that is named does not exist."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a query, and the bytes it reads as BigQuery tells them (None where the server does not)."""

    rows: list[dict[str, Any]]
    bytes_processed: int | None


def run_query(
    client: bigquery.Client,
    sql: str,
    parameters: Sequence[Parameter] = (),
    *,
    dataset: str | None = None,
    dry_run: bool = False,
    timeout_s: float = 60.0,
) -> Answer:
    """Run one query; ``dataset`` (``project.dataset``) is where unqualified tables are looked for.

    Raises:
        SinkUnavailable: no answer in time, or BigQuery cannot now.
        QueryFailed: see there.
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
        return Answer(rows, found.total_bytes_processed)


def table_names(client: bigquery.Client, dataset: str, timeout_s: float = 60.0) -> list[str]:
    """The tables and views of a dataset (``project.dataset``).

    Raises:
        SinkUnavailable: no answer in time, or BigQuery cannot now.
        NotThere: there is no such dataset.
    """
    with calling():
        return sorted(table.table_id for table in client.list_tables(dataset, retry=NO_RETRY, timeout=timeout_s))


@contextmanager
def calling() -> Iterator[None]:
    """Turn the client library's errors into ours.

    Raises:
        SinkUnavailable: the request may work later.
        QueryFailed: it will not.
    """
    try:
        yield
    except _TRANSIENT as error:
        raise SinkUnavailable(f"BigQuery: {type(error).__name__}: {error}") from error
    except exceptions.GoogleAPICallError as error:
        failed = NotThere if isinstance(error, exceptions.NotFound) else QueryFailed
        raise failed(_TRANSPORT.sub("", error.message or str(error))) from error
