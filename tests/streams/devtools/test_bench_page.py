"""The page of results and its plots."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from streams.cli.bench_report import report
from streams.devtools.benchmarks import results
from streams.devtools.benchmarks.page import page
from streams.devtools.benchmarks.plots import Plot
from streams.devtools.benchmarks.results import Kept

MACHINE = {"processor": "Some processor", "cores": 2}
PIPELINE = {
    "frames_per_s": 41.5,
    "bare_loop_frames_per_s": 60.0,
    "cpu_ms_per_frame": {"embed": 18.0, "kafka": 6.0},
    "at_rate": {"rate_fps": 5.0, "cpu_ms_per_frame": {"embed": 50.0, "kafka": 20.0}},
    "spread": {"frames_per_s": [40.0, 43.0]},
    "runs": 1,
    "machine": MACHINE,
}


def kept(bench: str, figures: dict[str, Any], hour: int = 12) -> Kept:
    return Kept(bench, datetime(2026, 1, 2, hour, tzinfo=UTC), f"facestream bench {bench}", figures)


def test_the_newest_result_of_each_bench_is_shown_with_its_machine_and_command() -> None:
    text, _ = page([kept("tiny", {"fps": 7}, 1), kept("pipeline", PIPELINE), kept("tiny", {"fps": 9}, 2)])
    assert text.index("## pipeline") < text.index("## tiny")
    assert "| fps | 9 |" in text and "| fps | 7 |" not in text
    assert "`facestream bench pipeline`, 2026-01-02 12:00 UTC, 1 run; processor Some processor, cores 2." in text
    assert "| frames per s | 41.5 | 40.0 | 43.0 |" in text


def test_what_could_not_be_measured_is_said() -> None:
    text, _ = page([kept("tiny", {"fps": 7, "not_measured": {"slow": "TimeoutError"}})])
    assert "Not measured: slow (TimeoutError)" in text


def test_plots_are_shown_and_drawn() -> None:
    text, pictures = page([kept("pipeline", PIPELINE)])
    assert set(pictures) == {"bench-pipeline-1.svg", "bench-pipeline-2.svg"}
    assert all(f"(images/{name})" in text for name in pictures)
    drawn = ET.fromstring(pictures["bench-pipeline-1.svg"])
    texts = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"embed", "18", "50", "at 5 frames a second"} <= set(texts)


def test_bars_are_as_long_as_their_values() -> None:
    drawn = ET.fromstring(Plot("<a & b>", ["x"], {"half": [5.0], "none": [None], "whole": [10.0]}).svg())
    half, whole = (float(one.attrib["width"]) for one in drawn.iter("{http://www.w3.org/2000/svg}rect"))
    assert whole == pytest.approx(2 * half)
    assert drawn[0].text == "<a & b>"


def test_the_command_writes_the_page_and_removes_plots_that_are_no_more(tmp_path: Path) -> None:
    old = tmp_path / "images" / "bench-gone-1.svg"
    old.parent.mkdir()
    old.touch()
    other = tmp_path / "images" / "demo.svg"
    other.touch()
    results.keep("pipeline", PIPELINE, tmp_path / "results")
    report(tmp_path / "results", tmp_path / "page.md")
    assert "## pipeline" in (tmp_path / "page.md").read_text()
    assert (tmp_path / "images" / "bench-pipeline-1.svg").exists()
    assert other.exists() and not old.exists()


def test_without_results_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises((results.ResultsAway, typer.Exit), match="no result"):
        report(tmp_path, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()


def test_the_page_in_the_clone_is_that_of_its_results() -> None:
    text, pictures = page(results.kept())
    assert results.PAGE.read_text("utf-8") == text, "write it anew: facestream bench report"
    assert {path.name for path in results.PAGE.parent.glob("images/bench-*.svg")} == set(pictures)
