"""``facestream worker retrain`` and ``facestream runs``, with a training that is real but for the faces."""

from __future__ import annotations

import time
from pathlib import Path

from models.embedder.card import Card
from tests.streams.cli.conftest import Run, worker
from tests.streams.cli.test_retrain import PEOPLE, fill


def test_a_worker_trains_at_a_tick_and_the_run_can_be_looked_at(
    facestream: Run, cluster: dict[str, str], tmp_path: Path
) -> None:
    assert facestream("topics", "create").code == 0
    nothing = facestream("runs", "list", "--json")
    assert nothing.json == {"runs": []}
    fill(cluster)
    home = Path(cluster["FACESTREAM_HOME"])
    trial = {"FACESTREAM_RETRAIN_MIN_PEOPLE": f"{PEOPLE}"}
    changes = {"FACESTREAM_RETRAIN_SCHEDULE": "* * * * * */2", "FACESTREAM_RETRAIN_MODE": "head"} | trial
    with worker(("retrain",), cluster | changes, tmp_path):
        deadline = time.monotonic() + 300
        while True:
            runs = facestream("runs", "list", "--json").json["runs"]
            # The folder of a run goes when its version is in its place, a moment after the run has ended.
            if runs and runs[0]["ended_at"] and not list((home / "models" / ".runs").iterdir()):
                break
            assert time.monotonic() < deadline, (tmp_path / "retrain.log").read_text()
            time.sleep(0.5)
    (run,) = runs
    assert (run["state"], run["people"], run["faces"]) == ("refused", PEOPLE, 3 * PEOPLE)
    assert run["refusals"][0].startswith("it was trained on")
    assert Card.read(home / "models" / run["version"]).version == run["version"]
    shown = facestream("runs", "show", run["run_id"])
    assert f"{PEOPLE} of 5" in shown.out
    assert run["refusals"][0] in shown.out
    every = facestream("runs", "list", "--skipped", "--json").json["runs"]
    assert {one["state"] for one in every} == {"refused", "skipped"}
    missing = facestream("runs", "show", "never")
    assert (missing.code, "there is no run 'never'" in missing.err) == (2, True)


def test_a_schedule_that_is_none_is_said(facestream: Run) -> None:
    assert facestream("topics", "create").code == 0
    ended = facestream("worker", "retrain", FACESTREAM_RETRAIN_SCHEDULE="at night")
    assert ended.code == 1
    assert "FACESTREAM_RETRAIN_SCHEDULE='at night' is no cron expression" in ended.err
