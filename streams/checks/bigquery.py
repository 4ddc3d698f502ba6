"""BigQuery: its REST and Storage Write API, and whether tables and views are as this release needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import google.auth.exceptions
import requests
from google.api_core import exceptions

from sinks.base import SinkUnavailable
from sinks.bigquery import Address, apply
from sinks.bigquery.apply import IncompatibleTable
from sinks.bigquery.query import NO_RETRY, QueryFailed, calling
from streams.checks.finding import HANGS, Finding, fail, ok, warn
from streams.settings import Settings

_ANSWER_S = 3.0
_CREDENTIALS = (
    "start one with `facestream up`; for Google's, log in with `gcloud auth application-default login`, or set "
    "GOOGLE_APPLICATION_CREDENTIALS"
)


def check(settings: Settings) -> Iterator[Finding]:
    """Ask both interfaces, and compare the tables."""
    dataset = Address(
        settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc
    )
    try:
        _ask(dataset)
        changes = apply(dataset.rest_client(), dataset.dataset_id, dry_run=True)
    except google.auth.exceptions.DefaultCredentialsError as error:
        yield fail("bigquery", _line(error), _CREDENTIALS)
        return
    except SinkUnavailable as error:
        hangs = isinstance(error.__cause__, requests.ReadTimeout)
        mend = HANGS if hangs else "start it with `facestream up`, or set FACESTREAM_BIGQUERY_REST"
        yield fail("bigquery", f"no answer at {settings.bigquery_rest or 'Google'}: {_line(error)}", mend)
    except (IncompatibleTable, QueryFailed) as error:
        yield fail(
            "bigquery tables", _line(error), "rename or remove what stands there, then `facestream bigquery apply`"
        )
    else:
        yield ok("bigquery", f"answers at {settings.bigquery_rest or 'Google'}")
        yield _tables(dataset, changes)
    yield _write_api(dataset)


def _ask(dataset: Address) -> None:
    """See that it answers soon: looking at the tables may take it longer."""
    with calling(), suppress(exceptions.NotFound):
        dataset.rest_client().get_dataset(dataset.dataset_id, retry=NO_RETRY, timeout=_ANSWER_S)


def _tables(dataset: Address, changes: list[str]) -> Finding:
    if not changes:
        return ok("bigquery tables", f"{dataset.dataset_id} is as it should be")
    created = [change for change in changes if change.startswith(("dataset", "table")) and change.endswith("created")]
    seen = f"to be done in {dataset.dataset_id}: {'; '.join(changes)}"
    judge = fail if created else warn
    return judge("bigquery tables", seen, "facestream bigquery apply")


def _write_api(dataset: Address) -> Finding:
    where = dataset.grpc or "Google"
    stream = f"projects/{dataset.project}/datasets/{dataset.dataset}/tables/matches/streams/_default"
    try:
        dataset.write_client().get_write_stream(name=stream, retry=None, timeout=_ANSWER_S)
    except (exceptions.NotFound, exceptions.InvalidArgument, exceptions.MethodNotImplemented):
        pass  # It answers; what it says of the table has been said above.
    except (exceptions.GoogleAPICallError, google.auth.exceptions.GoogleAuthError) as error:
        # A new connection begins with the server's HTTP/2 settings.
        hangs = isinstance(error, exceptions.DeadlineExceeded) or "before receiving SETTINGS" in str(error)
        start = "start it with `facestream up`, set FACESTREAM_BIGQUERY_GRPC, or give the account the right to write"
        mend = HANGS if hangs else start
        return fail("bigquery storage write", f"no answer at {where}: {_line(error)}", mend)
    return ok("bigquery storage write", f"answers at {where}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
