"""Medians and spread of several runs, and the files of results."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams.devtools.benchmarks import results
from streams.devtools.benchmarks.repeated import machine, numbers, summary


def test_one_run_stays_as_it_is() -> None:
    assert summary([{"fps": 3, "stages": {"embed": 2.5}}]) == {"fps": 3, "stages": {"embed": 2.5}}


def test_numbers_are_found_wherever_they_are() -> None:
    found = {"fps": 3, "fine": True, "stages": {"embed": 2.5}, "rows": [{"case": "a", "lost": 1}, {"n": 7}], "why": "x"}
    assert dict(numbers(found)) == {"fps": 3, "stages.embed": 2.5, "rows.a.lost": 1, "rows.1.n": 7}


def test_each_number_is_the_median_and_what_is_none_that_of_the_last_run() -> None:
    runs = [
        {"version": version, "same": same, "stages": {"p50": p50}, "rows": [{"case": "a", "n": n}]}
        for version, same, p50, n in (("x", True, 1.0, 5), ("x", True, 9.0, 7), ("y", False, 2.0, 6))
    ]
    found = summary(runs)
    spread = found.pop("spread")
    assert found == {"version": "y", "same": False, "stages": {"p50": 2.0}, "rows": [{"case": "a", "n": 6}]}
    assert spread == {"stages.p50": [1.0, 9.0], "rows.a.n": [5, 7]}


def test_a_row_that_failed_in_any_run_is_marked() -> None:
    found = summary([{"fps": 3, "not_measured": {"slow": "TimeoutError"}}, {"fps": 5}])
    assert found["not_measured"] == {"slow": "TimeoutError"}
    assert found["fps"] == 4


def test_the_machine_says_what_figures_hold_for() -> None:
    about = machine()
    assert about["cores"] >= 1
    assert about["memory_gib"] > 0
    assert about["processor"]


def test_results_are_read_back_the_oldest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["facestream", "bench", "tiny", "--rate", "5", "--save", "--json"])
    for number, hour in enumerate((11, 9)):
        at = datetime(2026, 1, 1, hour, tzinfo=UTC)
        monkeypatch.setattr(results, "utc_now", lambda at=at: at)
        path = results.keep("tiny", {"fps": number}, tmp_path / "new")
        assert path.name == f"tiny-20260101T{hour:02}0000Z.json"
    first, second = results.kept(tmp_path / "new")
    assert (first.figures, second.figures) == ({"fps": 1}, {"fps": 0})
    assert first.command == "facestream bench tiny --rate 5"


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(results.ResultsAway, match=r"notes\.json"):
        list(results.kept(tmp_path))


def test_results_are_kept_in_a_clone_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    results.check()
    monkeypatch.setattr(results, "_CLONE", tmp_path)
    with pytest.raises(results.ResultsAway, match="clone"):
        results.check()
