"""Makes the views for analysts: in a dataset of their own, with pseudonyms instead of names, authorised to read ours.

A pseudonym is the HMAC-SHA256 (RFC 2104) of the SHA-256 of a name, in hexadecimal, under a random key in the table
``pseudonym_key``, which only the views may read. The table has the key's two padded forms, because SQL has SHA-256 but
no HMAC. The views read tables only, not our other views, so they are all that has to be authorised.

``apply_for_analysts`` grants no person anything: docs/security.md says which roles to grant.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping
from string import Template
from typing import Any

from google.api_core import exceptions
from google.cloud import bigquery

from sinks.bigquery.apply import TIMEOUT_S, apply_view, get_table
from sinks.bigquery.query import NO_RETRY, calling, run_query
from sinks.bigquery.saved_queries import SavedQuery, analyst_views, views

KEY_TABLE = "pseudonym_key"
_BLOCK_BYTES = 64
_KEY_SCHEMA = (
    bigquery.SchemaField("inner_key", "BYTES", "REQUIRED", description="The key, padded for the inner hash of HMAC."),
    bigquery.SchemaField("outer_key", "BYTES", "REQUIRED", description="The key, padded for the outer hash of HMAC."),
    bigquery.SchemaField("made_at", "TIMESTAMP", "REQUIRED", description="When it was made; the oldest counts."),
)
_HMAC = "TO_HEX(SHA256(outer_key || SHA256(inner_key || SHA256({}))))"
_MESSAGES = {
    "event": r"'event\n' || event_id",
    "user": r"'user\n' || user_id",
    "camera": r"'camera\n' || user_id || '\n' || camera_id",
    "subject": r"'subject\n' || user_id || '\n' || subject_id",
}
"""What is hashed, as UTF-8. Subjects and cameras belong to a user: equal names of two users have two pseudonyms."""
_READ = re.compile(r"`\$dataset\.(\w+)`")


def pseudonym(key: bytes, *parts: str) -> str:
    """The pseudonym that the views show, of e.g. ``"subject", user_id, subject_id``."""
    message = hashlib.sha256("\n".join(parts).encode()).digest()
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def apply_for_analysts(client: bigquery.Client, dataset: str, analysts: str, *, dry_run: bool = False) -> list[str]:
    """Create or update the views for analysts, and authorise them to read the dataset. Safe to repeat.

    Args:
        client: the client to use.
        dataset: ``project.dataset`` of the tables, which must have been applied.
        analysts: ``project.dataset`` of the views; it is created where that of the tables is.
        dry_run: report the changes, but do not make them.

    Returns:
        One line for each change.

    Raises:
        ValueError: the two datasets are the same.
        sinks.bigquery.apply.IncompatibleTable: a table has the name of a view.
        sinks.base.SinkUnavailable: BigQuery does not answer.
        sinks.bigquery.query.QueryFailed: BigQuery refuses a request.
    """
    if analysts == dataset:
        raise ValueError(
            f"the views for analysts need a dataset of their own, not {dataset}: whoever reads it sees names"
        )
    with calling():
        changes = list(_apply_key(client, dataset, dry_run))
        changes += _apply_dataset(client, dataset, analysts, dry_run)
        for view in analyst_views():
            changes += apply_view(client, analysts, view, view_sql(view, dataset), dry_run=dry_run)
        changes += _authorise(client, dataset, analysts, dry_run)
    return changes


def view_sql(view: SavedQuery, dataset: str) -> str:
    """The SQL of a view for analysts, which names tables of ``dataset`` only: views that it reads are subqueries."""
    values = {name: _HMAC.format(message) for name, message in _MESSAGES.items()}
    # Two of them, made at the same moment, must not double the rows.
    key = f"(SELECT inner_key, outer_key FROM `{dataset}.{KEY_TABLE}` ORDER BY made_at, outer_key LIMIT 1)"
    known = {one.name: one.sql for one in views()}
    return Template(_inlined(view.sql, known)).substitute(values, dataset=dataset, key=key)


def _inlined(sql: str, known: Mapping[str, str]) -> str:
    def subquery(found: re.Match[str]) -> str:
        inner = known.get(found[1])
        return found[0] if inner is None else f"(\n{_inlined(inner, known)}\n)"

    return _READ.sub(subquery, sql)


def _apply_key(client: bigquery.Client, dataset: str, dry_run: bool) -> Iterator[str]:
    name = f"{dataset}.{KEY_TABLE}"
    if get_table(client, name) is None:
        if not dry_run:
            table = bigquery.Table(name, schema=_KEY_SCHEMA)
            table.description = "The secret key of the pseudonyms. Whoever reads it can find the names behind them."
            client.create_table(table, exists_ok=True, retry=NO_RETRY, timeout=TIMEOUT_S)
        yield f"table {KEY_TABLE}: created"
    elif run_query(client, f"SELECT made_at FROM `{name}` LIMIT 1").rows:
        return
    if not dry_run:
        padded = secrets.token_bytes(32).ljust(_BLOCK_BYTES, b"\0")
        sql = f"INSERT INTO `{name}` (inner_key, outer_key, made_at) VALUES (@inner, @outer, CURRENT_TIMESTAMP())"
        forms = {"inner": bytes(one ^ 0x36 for one in padded), "outer": bytes(one ^ 0x5C for one in padded)}
        # The library takes bytes, though its annotations do not say so.
        parameters = [bigquery.ScalarQueryParameter(way, "BYTES", form) for way, form in forms.items()]  # type: ignore[arg-type]
        run_query(client, sql, parameters)
    yield f"table {KEY_TABLE}: a new key"


def _apply_dataset(client: bigquery.Client, dataset: str, analysts: str, dry_run: bool) -> Iterator[str]:
    try:
        client.get_dataset(analysts, retry=NO_RETRY, timeout=TIMEOUT_S)
    except exceptions.NotFound:
        if not dry_run:
            fresh = bigquery.Dataset(analysts)
            fresh.description = "Answers of facestream with pseudonyms instead of names."
            fresh.location = client.get_dataset(dataset, retry=NO_RETRY, timeout=TIMEOUT_S).location
            client.create_dataset(fresh, exists_ok=True, retry=NO_RETRY, timeout=TIMEOUT_S)
        yield f"dataset {analysts}: created"


def _authorise(client: bigquery.Client, dataset: str, analysts: str, dry_run: bool) -> Iterator[str]:
    try:
        shared = client.get_dataset(dataset, retry=NO_RETRY, timeout=TIMEOUT_S)
    except exceptions.NotFound:
        if not dry_run:
            raise
        entries: list[Any] = []
    else:
        entries = list(shared.access_entries)
    granted = [one.entity_id for one in entries if one.entity_type == "view"]
    missing = []
    for view in analyst_views():
        reference = bigquery.TableReference.from_string(f"{analysts}.{view.name}").to_api_repr()
        if reference not in granted:
            missing.append(bigquery.AccessEntry(None, "view", reference))
            yield f"view {view.name}: authorised"
    if missing and not dry_run:
        # Conditional on the etag, so what somebody else grants at the same moment is not lost.
        shared.access_entries = [*entries, *missing]
        client.update_dataset(shared, ["access_entries"], retry=NO_RETRY, timeout=TIMEOUT_S)
