"""What the doctor says of this machine, of what runs on it, and of models is carried out."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.crash_loops import CrashLoops
from infra.supervisor import Backoff, Death, Supervisor
from models.embedder.references import FAST
from streams.operations.doctor import crashes, machine, models, run
from streams.operations.doctor.clock import clock
from streams.operations.doctor.finding import Finding, Status, ok
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings
from tests.infra.test_supervisor import until
from tests.streams.operations.doctor.ledger import heals, look

ROOT = Path(__file__).parents[4]


@heals(Remedy.SET_UP)
def test_a_python_or_a_package_that_does_not_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``make clean`` takes the environments, which set-up then makes from the pins, and leaves the data."""
    pins = tmp_path / "runtime.txt"
    monkeypatch.setattr(machine, "PINS", pins)
    monkeypatch.setattr(machine, "_PYTHON", ((2, 6), (2, 8)))
    pins.write_text("never-there==1\n")
    found = look(machine.check(Settings(home=tmp_path)))
    assert found["python"].status is found["packages"].status is Status.FAIL
    assert (found["packages"].remedy or "").startswith("make clean setup")

    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "infra", clone / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", clone)
    for folder in (".venv/bin", ".venv-bigquery/bin", ".facestream"):
        (clone / folder).mkdir(parents=True)
        (clone / folder / "python").touch()
    subprocess.run(["make", "clean"], cwd=clone, check=True, capture_output=True)
    assert not (clone / ".venv").exists()
    assert (clone / ".facestream" / "python").exists()

    monkeypatch.undo()
    assert look(machine.check(Settings(home=tmp_path)))["python"].status is Status.OK


@heals(Remedy.ROOM)
def test_a_disk_without_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full, roomy = tmp_path / "full", tmp_path / "roomy"
    full.mkdir()
    write = machine._write

    def fills(folder: Path) -> None:
        if folder == full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(folder)

    monkeypatch.setattr(machine, "_write", fills)
    found = look(machine.check(Settings(home=full)))["disk of the home"]
    assert found.status is Status.FAIL
    assert "FACESTREAM_HOME" in (found.remedy or "")
    monkeypatch.setattr(machine, "_LOW_BYTES", 0)
    monkeypatch.setattr(machine, "_SCARCE_BYTES", 0)
    assert look(machine.check(Settings(home=roomy)))["disk of the home"].status is Status.OK
    assert not list(tmp_path.rglob(".facestream-doctor-*"))


@heals(Remedy.WRITABLE)
def test_a_home_that_cannot_be_written_to(tmp_path: Path) -> None:
    a_file = tmp_path / "file"
    a_file.touch()
    found = look(machine.check(Settings(home=a_file)))["disk of the home"]
    assert found.status is Status.FAIL
    assert "FACESTREAM_HOME" in (found.remedy or "")
    assert look(machine.check(Settings(home=tmp_path)))["disk of the home"].status is not Status.FAIL


@heals(Remedy.CLOCK)
def test_a_clock_that_is_wrong() -> None:
    assert look([clock("Redis", 30.0)])["clock of Redis"].status is Status.WARN
    assert look([clock("Redis", 0.01)])["clock of Redis"].status is Status.OK


@heals(Remedy.CHECK_LATE, Remedy.CHECK_BROKEN)
def test_a_check_that_is_stuck_or_breaks_is_run_again() -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("two\nlines")

    first = look(run.run({"stuck": lambda: time.sleep(20) or [], "broken": broken}, 0.2))
    assert first["stuck"].status is first["broken"].status is Status.FAIL
    look(run.run({"stuck": lambda: [ok("stuck", "yes")], "broken": lambda: []}, 20))


@heals(Remedy.ONE_ROLE_ONLY)
def test_a_check_that_needs_the_packages_of_another_role() -> None:
    def check() -> list[Finding]:
        raise ModuleNotFoundError("No module named 'google'", name="google.auth")

    found = look(run.run({"tables": check}, 20))["tables"]
    assert found.status is Status.WARN
    assert "no package google" in found.observed
    assert look(run.run({"tables": lambda: [ok("tables", "there")]}, 20))["tables"].status is Status.OK


def test_a_module_of_our_own_that_is_missing_is_a_failure() -> None:
    def check() -> list[Finding]:
        raise ModuleNotFoundError("No module named 'streams.gone'", name="streams.gone")

    assert look(run.run({"one": check}, 20))["one"].status is Status.FAIL


@heals(Remedy.CRASHES)
def test_a_worker_that_dies_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[str] = []
    mended, log = tmp_path / "mended", tmp_path / "embed-0.log"
    code = f"""if True:
        import os, pathlib, time
        if not pathlib.Path({str(mended)!r}).exists():
            raise RuntimeError(f"no codec at {{os.getpid()}}")
        time.sleep(600)
    """
    settings = Settings(home=tmp_path)
    with Supervisor(reports.append, tmp_path / "children.json") as supervisor:
        supervisor.start("embed-0", [sys.executable, "-c", code], log=log, restart=Backoff(first_s=0.05, most_s=0.2))
        until(lambda: len(reports) > 4)
        assert reports[0].startswith("embed-0 died (exit code 1); it starts again")
        for number, report in enumerate(reports[:5], 1):
            assert "\n" not in report
            assert number == 1 or report.startswith(f"embed-0 died {number} times in ")
            assert "RuntimeError: no codec" in report
            assert str(log) in report
        found = look(crashes.check(settings))["crashes of embed-0"]
        assert found.status is Status.FAIL
        assert "RuntimeError: no codec" in found.observed
        assert str(log) in (found.remedy or "")
        mended.touch()
        pid = [0]

        def stays() -> bool:
            now = supervisor.running().get("embed-0", 0)
            same, pid[0] = now == pid[0] != 0, now
            time.sleep(0.5)
            return same

        until(stays)
        monkeypatch.setattr(crashes, "_WELL_AFTER_S", 0.0)
        until(lambda: not look(crashes.check(settings)))


def test_deaths_at_different_places_are_not_counted_together(tmp_path: Path) -> None:
    loops = CrashLoops(tmp_path / "children.json")

    def died(line: str, code: int = 1) -> str:
        return loops.tell(Death("match-0", code, tmp_path / "log", f"trace\n{line}", 1.0))

    assert "times" not in died("KeyError: 'a'")
    assert "2 times" in died("KeyError: 'a'")
    assert "times" not in died("ValueError: b")
    assert "times" not in died("ValueError: b", code=70)
    assert "2 times" in died("ValueError: b", code=70)
    assert json.loads((tmp_path / "crashes.json").read_text())["match-0"]["count"] == 2


@heals(Remedy.MODEL_DIR, Remedy.THRESHOLD)
def test_a_model_that_cannot_be_used(tmp_path: Path) -> None:
    assert look(models.check(Settings(model_dir=tmp_path), load=False))["model card"].status is Status.FAIL
    assert look(models.check(Settings(threshold_set="strictest"), load=False))["model card"].status is Status.FAIL
    whole = Settings(model_dir=FAST, threshold_set=None)
    assert look(models.check(whole, load=False))["model card"].status is Status.OK


@heals(Remedy.MODELS_FOLDER)
def test_a_models_folder_that_cannot_be_read(tmp_path: Path) -> None:
    a_file = tmp_path / "models"
    a_file.touch()
    assert look(models.check(Settings(models_dir=a_file), load=False))["models folder"].status is Status.FAIL
    (tmp_path / "other").mkdir()
    found = look(models.check(Settings(models_dir=tmp_path / "other"), load=False))
    assert found["models folder"].status is Status.OK


@heals(Remedy.VERSION_FOLDER)
def test_a_version_whose_card_is_broken(tmp_path: Path) -> None:
    version = tmp_path / "v2"
    version.mkdir()
    (version / "card.json").write_text("{")
    settings = Settings(models_dir=tmp_path)
    assert look(models.check(settings, load=False))["model version v2"].status is Status.FAIL
    shutil.copy(FAST / "card.json", version)
    assert look(models.check(settings, load=False))["models folder"].status is Status.OK


@heals(Remedy.CORES)
def test_a_model_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_SLOW_S", 0.0)
    assert look(models.check(Settings(), load=True))["model"].status is Status.WARN
    monkeypatch.setattr(models, "_SLOW_S", 60.0)
    assert look(models.check(Settings(), load=True))["model"].status is Status.OK
