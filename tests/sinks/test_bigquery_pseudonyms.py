"""The views for analysts: pseudonyms instead of names, and nothing else by which a person is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import bigquery as google

from schemas.parts import Decision
from sinks.bigquery import Address, apply, apply_for_analysts, run_query
from sinks.bigquery.pseudonyms import KEY_TABLE, pseudonym, view_sql
from sinks.bigquery.saved_queries import analyst_views
from sinks.bigquery.tables import TABLES
from tests.sinks.conftest import new_address
from tests.sinks.examples import NOW, delivery, enrolment, face, match
from tests.sinks.rows import ask, write
from tests.sinks.servers import BigQuery

NAMES = {"user_id": "anna-of-example", "camera_id": "garden-door"}
SUBJECT = "günther"


@pytest.fixture(scope="module")
def filled(bigquery: BigQuery) -> Address:
    """A dataset with rows, and beside it one for analysts."""
    address = new_address(bigquery)
    client = address.rest_client()
    apply(client, address.dataset_id)
    apply_for_analysts(client, address.dataset_id, analysts_of(address))
    events = [
        enrolment(user_id=NAMES["user_id"], subject_id=SUBJECT),
        match(**NAMES, captured_at=NOW, faces=[face(subject_id=SUBJECT), face(Decision.UNKNOWN, None)]),
        match(user_id="ben", camera_id="garden-door", captured_at=NOW, faces=[face(subject_id=SUBJECT)]),
    ]
    write(address, [delivery(event, n) for n, event in enumerate(events)])
    return address


def analysts_of(address: Address) -> str:
    return f"{address.dataset_id}_analysts"


def rows_of(address: Address, view: str) -> list[dict[str, object]]:
    return run_query(address.rest_client(), f"SELECT * FROM {view}", dataset=analysts_of(address)).rows


def key_of(address: Address) -> bytes:
    (row,) = ask(address, f"SELECT inner_key FROM {KEY_TABLE}")
    return bytes(one ^ 0x36 for one in row["inner_key"])


def names_in(fields: list[google.SchemaField]) -> Iterator[tuple[str, str | None]]:
    for field in fields:
        yield field.name, field.description
        yield from names_in(list(field.fields))


def test_pseudonyms_are_the_hmac_of_names_under_the_key_of_the_table(filled: Address) -> None:
    key = key_of(filled)
    assert len(set(key[:32])) > 8
    anna = pseudonym(key, "user", NAMES["user_id"])
    subject = pseudonym(key, "subject", NAMES["user_id"], SUBJECT)
    camera = pseudonym(key, "camera", NAMES["user_id"], NAMES["camera_id"])
    faces = [row for row in rows_of(filled, "faces_for_analysts") if row["user_pseudonym"] == anna]
    assert {(row["decision"], row["subject_pseudonym"]) for row in faces} == {("match", subject), ("unknown", None)}
    assert {row["camera_pseudonym"] for row in faces} == {camera}
    (uploaded,) = rows_of(filled, "enrolments_for_analysts")
    assert (uploaded["user_pseudonym"], uploaded["subject_pseudonym"]) == (anna, subject)
    assert subject in {row["subject_pseudonym"] for row in rows_of(filled, "visits_for_analysts")}


def test_equal_names_of_two_users_have_two_pseudonyms(filled: Address) -> None:
    visits = rows_of(filled, "visits_for_analysts")
    assert len(visits) == 2
    for column in ("user_pseudonym", "camera_pseudonym", "subject_pseudonym"):
        assert len({row[column] for row in visits}) == 2


@pytest.mark.parametrize("view", [view.name for view in analyst_views()])
def test_no_view_shows_a_name_an_id_a_text_or_a_vector(filled: Address, view: str) -> None:
    rows = rows_of(filled, view)
    assert rows
    ids = [
        row["event_id"] for row in ask(filled, "SELECT event_id FROM matches UNION ALL SELECT event_id FROM enrolments")
    ]
    for secret in (*NAMES.values(), SUBJECT, "ben", *ids):
        assert secret not in str(list(rows[0].values())) and secret not in str(rows)
    fields = filled.rest_client().get_table(f"{analysts_of(filled)}.{view}").schema
    found = dict(names_in(list(fields)))
    assert not [name for name in found if name.endswith("_id") or name in {"detail", "message", "landmarks", "box"}]
    assert [name for name, said in found.items() if not (said and said.endswith("."))] == []


def test_each_view_reads_tables_only_and_is_authorised(filled: Address) -> None:
    tables = {f"{filled.dataset_id}.{name}" for name in [KEY_TABLE, *(table.name for table in TABLES)]}
    for view in analyst_views():
        sql = view_sql(view, filled.dataset_id)
        assert set(sql.split("`")[1::2]) < tables
    entries = filled.rest_client().get_dataset(filled.dataset_id).access_entries
    authorised = {one.entity_id["tableId"] for one in entries if one.entity_type == "view"}
    assert authorised == {view.name for view in analyst_views()}
    assert [one for one in entries if one.role == "OWNER"], "what was granted before is still there"


def test_it_is_safe_to_repeat_and_a_new_key_makes_new_pseudonyms(address: Address) -> None:
    client = address.rest_client()
    apply(client, address.dataset_id)
    wanted = [f"table {KEY_TABLE}: created", f"table {KEY_TABLE}: a new key"]
    wanted += [f"dataset {analysts_of(address)}: created"]
    wanted += [f"view {view.name}: {way}" for way in ("created", "authorised") for view in analyst_views()]
    assert apply_for_analysts(client, address.dataset_id, analysts_of(address), dry_run=True) == wanted
    assert apply_for_analysts(client, address.dataset_id, analysts_of(address)) == wanted
    assert apply_for_analysts(client, address.dataset_id, analysts_of(address)) == []
    assert apply(client, address.dataset_id) == []
    before = key_of(address)
    client.query_and_wait(f"DELETE FROM {address.dataset_id}.{KEY_TABLE} WHERE TRUE")
    assert apply_for_analysts(client, address.dataset_id, analysts_of(address)) == [f"table {KEY_TABLE}: a new key"]
    assert key_of(address) != before
    client.delete_dataset(analysts_of(address), delete_contents=True)


def test_the_dataset_of_the_tables_is_refused(filled: Address) -> None:
    with pytest.raises(ValueError, match="a dataset of their own"):
        apply_for_analysts(filled.rest_client(), filled.dataset_id, filled.dataset_id)
