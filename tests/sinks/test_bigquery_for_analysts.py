"""What docs/analysts.md promises, on the rows that its commands make: examples, programs, notebook and dashboard."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from google.auth import _default, exceptions
from nbclient import NotebookClient

from schemas.parts import Decision
from sinks.bigquery import Address, apply
from sinks.bigquery.saved_queries import saved_queries
from streams.client import bigquery_client
from streams.client.errors import InvalidSettings, MissingExtra
from streams.client.settings import ClientSettings
from tests.sinks.conftest import new_address
from tests.sinks.examples import NOW, delivery, enrolment, face, feedback, match
from tests.sinks.rows import ask, write
from tests.sinks.servers import BigQuery

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "analysts.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```sql\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
PROGRAMS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
DASHBOARD = json.loads((ROOT / "infra" / "grafana" / "analysts.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def filled(bigquery: BigQuery) -> Address:
    """A dataset after the commands of "Something to query"; see there."""
    address = new_address(bigquery)
    apply(address.rest_client(), address.dataset_id)
    stranger = dataclasses.replace(face(Decision.UNKNOWN, None), candidates=[_nearest("obama", 0.64)])
    obama = dataclasses.replace(face(subject_id="obama"), candidates=[_nearest("obama", 5e-9)])
    biden = dataclasses.replace(face(subject_id="biden"), candidates=[_nearest("biden", 2e-4)])
    seen = {"user_id": "anna", "camera_id": "front-door"}
    first = [
        match(**seen, captured_at=NOW - timedelta(seconds=60 - n), faces=[one])
        for n, one in enumerate([stranger, obama, obama])
    ]
    second = [
        match(**seen, captured_at=NOW - timedelta(seconds=3 - n), faces=[one])
        for n, one in enumerate([biden, obama, obama])
    ]
    events: list[Any] = [
        enrolment(user_id="anna", subject_id="obama"),
        enrolment(user_id="anna", subject_id="biden"),
        *first,
        *second,
        dataclasses.replace(first[0], faces=[biden], replay_id="r1"),
        dataclasses.replace(feedback(first[1].event_id, subject_id="obama"), user_id="anna"),
    ]
    write(address, [delivery(event, n) for n, event in enumerate(events)])
    return address


def _nearest(subject_id: str, fmr: float) -> Any:
    (candidate,) = face().candidates
    return dataclasses.replace(candidate, subject_id=subject_id, fmr=fmr)


@pytest.fixture
def environment(filled: Address) -> dict[str, str]:
    """The environment of a program that asks the filled dataset."""
    there = {name: value for name, value in os.environ.items() if not name.startswith(("FACESTREAM_", "GOOGLE_"))}
    assert filled.rest is not None
    return there | {
        "FACESTREAM_BIGQUERY_REST": filled.rest,
        "FACESTREAM_BIGQUERY_PROJECT": filled.project,
        "FACESTREAM_BIGQUERY_DATASET": filled.dataset,
        "PYTHONPATH": str(ROOT),
    }


@pytest.mark.parametrize("sql", EXAMPLES)
def test_every_example_gives_rows(filled: Address, sql: str) -> None:
    assert ask(filled, sql)


def test_visits_end_with_a_pause(filled: Address) -> None:
    visits = ask(filled, "SELECT subject_id, sightings, ended_at - began_at AS lasted FROM visits ORDER BY subject_id")
    assert [(one["subject_id"], one["sightings"]) for one in visits] == [("biden", 1), ("obama", 4)]


def test_a_longer_pause_makes_another_visit(bigquery: BigQuery) -> None:
    address = new_address(bigquery)
    apply(address.rest_client(), address.dataset_id)
    minutes = (0, 4, 9, 15, 16)  # pauses of 4, 5, 6 and 1 minutes
    events = [match(captured_at=NOW - timedelta(minutes=one)) for one in minutes]
    events += [match(captured_at=NOW, faces=[face(Decision.UNKNOWN, None)])]
    write(address, [delivery(event, n) for n, event in enumerate(events)])
    visits = ask(address, "SELECT sightings, began_at, ended_at FROM visits ORDER BY began_at")
    assert [(one["sightings"], one["ended_at"] - one["began_at"]) for one in visits] == [
        (2, timedelta(minutes=1)),
        (3, timedelta(minutes=9)),
    ]
    hours = ask(address, "SELECT * FROM visits_by_hour")
    assert (sum(one["visits"] for one in hours), sum(one["sightings"] for one in hours)) == (2, 5)
    assert {one["subjects"] for one in hours} == {1}


def test_who_is_seen_together_is_there_once(filled: Address) -> None:
    (pair,) = ask(filled, "SELECT * FROM seen_together")
    assert (pair["subject_id"], pair["other_subject_id"], pair["times"]) == ("biden", "obama", 1)
    assert pair["first_at"] <= pair["last_at"]


@pytest.mark.parametrize(
    ("fmr", "matches"), [(1.0, {"obama": 5, "biden": 1}), (1e-3, {"obama": 4, "biden": 1}), (1e-6, {"obama": 4})]
)
def test_another_threshold(filled: Address, fmr: float, matches: dict[str, int]) -> None:
    rows = ask(
        filled, f"SELECT subject_id_then, decision_then, decision FROM faces_at_fmr({fmr}) ORDER BY decision_then"
    )
    found = [row["subject_id_then"] for row in rows if row["decision_then"] == "match"]
    assert {one: found.count(one) for one in found} == matches
    assert all(row["subject_id_then"] is None for row in rows if row["decision_then"] != "match")
    assert len(rows) == 6


def test_every_program_runs_on_the_local_server(environment: dict[str, str], tmp_path: Path) -> None:
    assert len(PROGRAMS) == 2
    for program in PROGRAMS:
        script = program.replace("from facestream import", "from streams.client import")
        ended = subprocess.run(
            [
                sys.executable,
                "-c",
                script.replace("facestream.sight", f"{environment['FACESTREAM_BIGQUERY_DATASET']}.sight"),
            ],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr
        assert re.search(r"obama +\d", ended.stdout), ended.stdout


def settings_of(address: Address) -> ClientSettings:
    return ClientSettings(
        bigquery_project=address.project, bigquery_dataset=address.dataset, bigquery_rest=address.rest
    )


def test_a_long_result_is_fetched_from_the_local_server_too(filled: Address) -> None:
    client = bigquery_client(settings_of(filled))
    rows = client.query_and_wait("SELECT n FROM UNNEST(GENERATE_ARRAY(1, 20000)) AS n", page_size=5_000)
    assert rows.to_dataframe()["n"].sum() == 20_000 * 20_001 / 2


def test_without_a_server_and_without_credentials_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise exceptions.DefaultCredentialsError("nowhere")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(_default, "default", none)
    monkeypatch.setattr("google.auth.default", none)
    with pytest.raises(InvalidSettings, match=r"facestream up.*FACESTREAM_BIGQUERY_PROJECT.*gcloud auth"):
        bigquery_client(ClientSettings())


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery", None)
    monkeypatch.delattr("google.cloud.bigquery", raising=False)
    with pytest.raises(MissingExtra, match=r"facestream-client\[analysis\]"):
        bigquery_client(ClientSettings())


def test_the_notebook_runs_and_plots(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(ROOT / "docs" / "analysis.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), "the file holds no outputs: clear them before you commit"
        cell.source = cell.source.replace("from facestream import", "from streams.client import")
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 4
    assert any("obama" in output.get("data", {}).get("text/plain", "") for output in shown)


def panels() -> Iterator[Any]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield pytest.param(target["rawSql"], id=panel["title"])


@pytest.mark.parametrize("sql", list(panels()))
def test_every_query_of_the_dashboard_gives_rows(filled: Address, sql: str) -> None:
    text = sql.replace("${dataset}", filled.dataset)
    text = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 24 HOUR)", text)
    assert "$" not in text
    assert ask(filled, text)


def test_the_dashboard_is_one_that_grafana_can_import() -> None:
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{(\w+)\}", json.dumps(DASHBOARD["panels"])))
    assert used == variables == {"datasource", "project", "dataset"}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(one["x"] + one["w"] <= 24 for one in places)


def test_the_document_names_every_view_and_function() -> None:
    for query in saved_queries():
        assert re.search(rf"`{query.name}\b", TEXT)
