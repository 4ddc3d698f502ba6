"""The comparison with other libraries, whose loops run as programs of their own: a tiny one stands for them here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli.bench_tables import peers_table
from streams.cli.console import Output
from streams.devtools.benchmarks import peer, peer_loops
from streams.devtools.benchmarks.rows import NOT_MEASURED


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACESTREAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_frames_of_both_people_are_named_by_us(tmp_path: Path, cache: Path) -> None:
    rows = list(peer.measure(tmp_path / "frames", 16, [], print))
    assert [row["peer"] for row in rows] == ["facestream, accurate", "facestream, fast"]
    assert all(row["correct"] > 0.8 and row["frames_per_s"] > 0 for row in rows), rows


def test_an_environment_is_built_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(peer.PEERS, "tiny", [["some==1"], ["--no-deps", "more==1"]])  # type: ignore[index]
    calls: list[str] = []
    monkeypatch.setattr(peer, "_run", lambda what, words, timeout_s: calls.append(words[-1]) or _make(words))
    first = peer.environment("tiny", print)
    assert peer.environment("tiny", print) == first
    assert calls[1:] == ["some==1", "more==1"]
    monkeypatch.setitem(peer.PEERS, "tiny", [["other==1"]])  # type: ignore[index]
    peer.environment("tiny", print)
    assert calls[-1] == "other==1"


def _make(words: list[str]) -> str:
    if "venv" in words:
        Path(words[-1]).mkdir(parents=True)
    return ""


def test_what_cannot_be_installed_is_said_with_the_last_words(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(peer.PEERS, "broken", [[str(tmp_path / "no-such-wheel.whl")]])  # type: ignore[index]
    monkeypatch.setattr(peer, "_ours", lambda *_: {})
    *_, row = peer.measure(tmp_path / "frames", 2, ["broken"], print)
    assert re.search(r"PeerMissing: broken cannot be installed: .*no-such-wheel", row[NOT_MEASURED]["broken"])
    assert not (cache / "peer-broken" / "done").exists()


def test_a_program_that_fails_is_no_measurement() -> None:
    with pytest.raises(peer.PeerMissing, match="it fails: no face"):
        peer._run("it fails", [sys.executable, "-c", "import sys; sys.exit('no face')"], 30)


def test_the_loop_counts_correct_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = peer.Frames.write(tmp_path / "some", 8)
    assert set(frames.known()) == {"obama", "biden"}
    assert [name for name, _ in frames.seen()] == ["obama", "biden"] * 4
    monkeypatch.setitem(peer_loops.LOOPS, "always", lambda known: lambda path: "obama")
    peer_loops.main("always", tmp_path / "some")
    assert '"correct": 0.5' in capsys.readouterr().out


def test_the_loops_need_nothing_of_facestream(tmp_path: Path) -> None:
    words = [sys.executable, "-I", peer_loops.__file__, "face_recognition", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert "No module named 'face_recognition'" in done.stderr


def test_rows_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"peer": "facestream, fast", "frames_per_s": 60.0, "cpu_ms_per_frame": 30.0, "correct": 1.0}]
    missing = {"deepface": "PeerMissing: it cannot be installed"}
    peers_table({"peers": [*rows, {"peer": "deepface"}], NOT_MEASURED: missing}, Output(False))
    out = capsys.readouterr().out
    assert next(line.split() for line in out.splitlines() if "fast" in line)[-3:] == ["60.0", "30.0", "1.0"]
    assert "deepface not measured: PeerMissing" in out
