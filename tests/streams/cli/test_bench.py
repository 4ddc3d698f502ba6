"""What a bench keeps of what it has measured; rows of a tiny bench, and no service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer

from models.training.measure import Change
from streams.cli import bench_figures
from streams.cli.bench_tables import faults_table, gains, searches_table
from streams.cli.console import Output
from streams.devtools.benchmarks import results
from streams.devtools.benchmarks.retrain import _judged
from streams.devtools.benchmarks.rows import attempt, on_stacks


def tiny(*rows: object) -> Iterator[dict[str, Any]]:
    """A figure by each name; what is an exception is raised."""
    for row in rows:
        if isinstance(row, BaseException):
            raise row
        yield {str(row): 1}


def printed(out: str) -> dict[str, Any]:
    """The figures in the last line, without what every bench says of itself."""
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert result.pop("machine")["cores"] >= 1
    assert result.pop("runs") >= 1
    return result


def fails() -> dict[str, Any]:
    raise TimeoutError("BigQuery has not\nanswered")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_row_that_fails_is_marked_and_the_rest_goes_on(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []

    def measure() -> Iterator[Any]:
        yield {"first": 1}
        shown.append("".join(capsys.readouterr()))
        yield attempt("second", fails)
        shown.append("".join(capsys.readouterr()))
        yield {"third": 3}

    with pytest.raises(typer.Exit) as ended:
        bench_figures.report("tiny", measure, Output(as_json))
    assert ended.value.exit_code == 1
    about, _, first = shown[0].partition("\n")
    assert "processor " in about
    assert (first, shown[1]) == (
        "first: 1\n",
        "second: could not be measured: TimeoutError: BigQuery has not answered\n",
    )
    out = capsys.readouterr().out
    if as_json:
        why = "TimeoutError: BigQuery has not answered"
        assert printed(out) == {"first": 1, "not_measured": {"second": why}, "third": 3}
    else:
        assert "third: 3" in out


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), RuntimeError("no room")], ids=repr)
def test_what_was_measured_is_printed_however_it_ends(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(error)):
        bench_figures.report("tiny", lambda: tiny("first", "second", error, "third"), Output(True))
    assert printed(capsys.readouterr().out) == {"first": 1, "second": 1}


def test_a_bench_that_has_measured_nothing_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError):
        bench_figures.report("tiny", lambda: tiny(RuntimeError("no Kafka")), Output(True))
    assert capsys.readouterr().out == ""


def test_a_bad_figure_fails_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    bench_figures.report("tiny", lambda: tiny("events"), Output(True), wrong=("lost",))
    with pytest.raises(typer.Exit):
        bench_figures.report("tiny", lambda: tiny("lost"), Output(True), wrong=("lost",))


def rounds(*rows: dict[str, Any]) -> Any:
    """A bench that gives another row in each run."""
    left = iter(rows)
    return lambda: (row for row in [next(left)])


def test_several_runs_give_medians_and_their_spread(capsys: pytest.CaptureFixture[str]) -> None:
    measure = rounds({"fps": 10, "p50_ms": 3}, {"fps": 30, "p50_ms": 3}, {"fps": 20, "p50_ms": 3})
    bench_figures.report("tiny", measure, Output(True), runs=3)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["runs"], result["fps"], result["spread"]["fps"]) == (3, 20, [10, 30])
    bench_figures.report("tiny", rounds({"fps": 10}, {"fps": 30}), Output(False), runs=2)
    assert ["fps", "10", "30"] in [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_bad_row_of_any_run_fails_the_command() -> None:
    fine, bad = ({"faults": [{"fault": "one", "lost": lost}]} for lost in (0, 1))
    bench_figures.report("tiny", rounds(fine, fine, fine), Output(True), runs=3, wrong=("lost",))
    with pytest.raises(typer.Exit):
        bench_figures.report("tiny", rounds(bad, fine, fine), Output(True), runs=3, wrong=("lost",))


def test_figures_are_kept_only_if_the_bench_came_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results.keep, "__defaults__", (tmp_path,))
    with pytest.raises(KeyboardInterrupt):
        bench_figures.report("tiny", lambda: tiny("fps", KeyboardInterrupt()), Output(True), save=True)
    assert not list(tmp_path.iterdir())
    bench_figures.report("tiny", lambda: tiny("fps"), Output(True), save=True)
    [one] = results.kept(tmp_path)
    assert (one.bench, one.figures["fps"], one.figures["runs"]) == ("tiny", 1, 1)


class Stacks:
    """Stacks of which those of some numbers cannot be started, or stopped."""

    def __init__(self, *broken: int, stuck: int | None = None) -> None:
        self.events: list[str] = []
        self._broken = broken
        self._stuck = stuck

    @contextmanager
    def start(self, number: int) -> Iterator[int]:
        if number in self._broken:
            raise OSError("no room")
        self.events.append(f"start {number}")
        try:
            yield number
        finally:
            self.events.append(f"stop {number}")
            if number == self._stuck:
                raise OSError("stuck")

    def measure(self, stack: int, name: str) -> dict[str, Any]:
        self.events.append(name)
        if name == "bad":
            return fails()
        return {"fault": name, "stack": stack}


WHY = "TimeoutError: BigQuery has not answered"


def test_after_a_row_that_fails_there_is_a_fresh_stack() -> None:
    stacks = Stacks()
    rows = list(on_stacks(["one", "bad", "two", "three"], stacks.start, stacks.measure))
    assert rows == [
        {"fault": "one", "stack": 0},
        {"not_measured": {"bad": WHY}},
        {"fault": "two", "stack": 1},
        {"fault": "three", "stack": 1},
    ]
    assert stacks.events == ["start 0", "one", "bad", "stop 0", "start 1", "two", "three", "stop 1"]


def test_where_no_other_stack_starts_all_that_are_left_are_marked() -> None:
    stacks = Stacks(1)
    rows = list(on_stacks(["one", "bad", "two", "three"], stacks.start, stacks.measure))
    assert rows[1:] == [
        {"not_measured": {"bad": WHY}},
        {"not_measured": {"two": "OSError: no room"}},
        {"not_measured": {"three": "OSError: no room"}},
    ]
    with pytest.raises(OSError, match="no room"):
        list(on_stacks(["one"], Stacks(0).start, stacks.measure))


def test_a_stack_that_does_not_stop_takes_no_row_with_it() -> None:
    rows = list(on_stacks(["one"], Stacks(stuck=0).start, Stacks().measure))
    assert rows == [{"fault": "one", "stack": 0}, {"not_measured": {"stopping the stack": "OSError: stuck"}}]


def test_ctrl_c_stops_the_stack_and_keeps_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    stacks = Stacks()

    def measure(stack: int, name: str) -> dict[str, Any]:
        if name == "two":
            raise KeyboardInterrupt
        return stacks.measure(stack, name)

    rows = on_stacks(["one", "two"], stacks.start, measure)
    with pytest.raises(KeyboardInterrupt):
        bench_figures.report("tiny", lambda: bench_figures.rows_so_far(rows, "fault", "faults"), Output(True))
    assert printed(capsys.readouterr().out) == {"faults": [{"fault": "one", "stack": 0}]}
    assert stacks.events == ["start 0", "one", "stop 0"]


def test_a_fault_that_fails_is_a_row_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    stacks = Stacks()
    rows = on_stacks(["one", "bad"], stacks.start, stacks.measure)
    with pytest.raises(typer.Exit):
        bench_figures.report(
            "tiny", lambda: bench_figures.rows_so_far(rows, "fault", "faults"), Output(False), show=faults_table
        )
    assert any(f"not measured: {WHY}" in line for line in capsys.readouterr().out.splitlines())


def changed(before: float, after: float, low: float, high: float) -> dict[str, Any]:
    return _judged(Change(before, after, (after, after), after - before, (low, high)))


def test_a_gain_of_training_is_judged_by_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {
        "degraded": changed(0.8, 0.9, 0.02, 0.15),
        "clean": changed(0.995, 0.99, -0.01, 0.003),
        "new_probes_old_templates": changed(0.8, 0.7, -0.2, -0.05),
    }
    assert [one["verdict"] for one in kinds.values()] == ["up", "within_interval", "down"]
    gains(kinds | {"model": "some-1", "mode": "full", "subjects_test": 30}, Output(False))
    out = capsys.readouterr().out
    for word in ("beyond chance", "within the interval: no change is shown", "worse beyond chance"):
        assert word in out
    assert "some-1, full: intervals are over 30 people" in out
    assert "clean: 99.5% before" in out
    assert "degraded: " not in out


def test_searches_are_shown_beside_those_of_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    searches_table(
        {"templates": 100, "p50_ms": 1.5, "libraries": {"NumPy": 2.5}, "best_library": "NumPy"}, Output(False)
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if "facestream" in line or line.startswith("NumPy")] == [
        ["facestream", "1.5"],
        ["NumPy", "2.5"],
    ]
