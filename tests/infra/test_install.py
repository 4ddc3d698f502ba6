from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra import cache, install, machine, pythons
from infra.install import Environment
from infra.photos import sample_photos

ROOT = Path(__file__).parents[2]
PINS = sorted((ROOT / "requirements").glob("*.txt"))


def pinned(path: Path) -> dict[str, list[Requirement]]:
    """The requirements that a file pins, by name; the same name may be pinned for several kinds of machine."""
    found: dict[str, list[Requirement]] = {}
    for block in re.split(r"\n(?=\S)", path.read_text().strip()):
        requirement = Requirement(block.split("\\\n")[0].strip())
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), f"{requirement} has no hash"
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_with_its_hash_and_no_registry_is_named(path: Path) -> None:
    for requirement in itertools.chain.from_iterable(pinned(path).values()):
        assert [specifier.operator for specifier in requirement.specifier] == ["=="]
        assert requirement.url is None
    assert "://" not in path.read_text()
    assert "index-url" not in path.read_text()


def test_the_pins_are_within_what_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # The tests have the analysts' packages too; runtime.txt has everything else but what cameras need.
    dev, camera, runtime = (pinned(ROOT / "requirements" / f"{name}.txt") for name in ("dev", "camera", "runtime"))
    installed = dev | camera | runtime
    others = ("gpu", "gcs", "s3", "reference")
    of_roles = [one for name, extra in project["optional-dependencies"].items() if name not in others for one in extra]
    declared_ones = [Requirement(one) for one in [*project["dependencies"], *of_roles]]
    for declared in (one for one in declared_ones if one.name != project["name"]):
        for pin in installed[canonicalize_name(declared.name)]:
            (version,) = pin.specifier
            assert declared.specifier.contains(version.version, prereleases=True), declared


def test_environments_that_are_used_together_agree() -> None:
    runtime = pinned(ROOT / "requirements" / "runtime.txt")
    for other in ("dev", "camera", "cloud", "gpu"):
        for name, requirements in pinned(ROOT / "requirements" / f"{other}.txt").items():
            if name in runtime and not name.startswith("tensorflow"):
                assert {r.specifier for r in requirements} == {r.specifier for r in runtime[name]}, name


@pytest.fixture
def made(tmp_path: Path) -> tuple[Environment, list[str], Callable[[], None]]:
    """An environment, what it has been filled with, and how to make its filling fail."""
    source = tmp_path / "pins.txt"
    source.write_text("one")
    folder = tmp_path / "env"
    fills: list[str] = []
    fail: list[bool] = []

    def fill() -> None:
        if not (folder / "bin" / "python").exists():
            fills.append("new")
            (folder / "bin").mkdir()
            (folder / "bin" / "python").touch()
        fills.append(source.read_text())
        if fail:
            raise KeyboardInterrupt

    return Environment(folder, (source,), fill), fills, lambda: fail.append(True) if not fail else fail.clear()


def test_an_environment_is_made_once_and_again_when_its_pins_change(
    made: tuple[Environment, list[str], Callable[[], None]],
) -> None:
    environment, fills, _ = made
    assert not environment.is_done()
    environment.make()
    assert environment.is_done() and fills == ["new", "one"]
    environment.sources[0].write_text("two")
    assert not environment.is_done()
    environment.make()
    assert environment.is_done() and fills == ["new", "one", "two"]


def test_an_interrupted_environment_is_made_from_nothing(
    made: tuple[Environment, list[str], Callable[[], None]],
) -> None:
    environment, fills, toggle_failure = made
    environment.make()
    environment.sources[0].write_text("two")
    toggle_failure()
    with pytest.raises(KeyboardInterrupt):
        environment.make()
    assert not environment.is_done()
    toggle_failure()
    environment.make()
    assert environment.is_done() and fills == ["new", "one", "two", "new", "two"]


def test_an_environment_whose_python_is_gone_is_made_again(
    made: tuple[Environment, list[str], Callable[[], None]],
) -> None:
    environment, fills, _ = made
    environment.make()
    (environment.folder / "bin" / "python").unlink()
    assert not environment.is_done()
    environment.make()
    assert environment.is_done() and fills == ["new", "one"] * 2


@pytest.mark.skipif(Path(sys.prefix) != install.MAIN, reason="not run in the environment that set-up makes")
def test_this_clone_is_set_up_and_a_second_run_does_nothing() -> None:
    ran = subprocess.run(
        ["make", "--no-print-directory", "setup"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_a_missing_system_library_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.check(tmp_path)
    monkeypatch.setitem(machine.SYSTEM_LIBRARIES, "libnothere.so.9", {"apt-get": "libnothere9", "dnf": "nothere"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(machine.Unsuitable, match=r"libnothere\.so\.9 is missing: install it: libnothere9 \(apt-get\)"):
        machine.check(tmp_path)
    program(tmp_path / "dnf", "")
    with pytest.raises(machine.Unsuitable, match=r"libnothere\.so\.9 is missing: `dnf install -y nothere` installs it"):
        machine.check(tmp_path)
    said = "ImportError: libstdc++.so.6: cannot open shared object file: No such file or directory"
    assert machine.missing_library(said) == "the system library libstdc++.so.6 is missing: " + machine.install(
        machine.SYSTEM_LIBRARIES["libstdc++.so.6"]
    )
    assert "libGL.so.1" in (machine.missing_library(said.replace("libstdc++.so.6", "libGL.so.1")) or "")
    assert machine.missing_library("Segmentation fault") is None


def test_an_interpreter_is_taken_only_if_it_runs_and_has_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    future = (3, 90)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{os.environ['PATH']}")
    monkeypatch.delenv("CHOSEN", raising=False)
    program(tmp_path / "shims" / "python3.90", "echo 'version 3.90 is not chosen' >&2; exit 127")
    assert pythons.find(future, future, "CHOSEN") is None
    installed = program(tmp_path / "pyenv" / "versions" / "3.90.2" / "bin" / "python3.90", "echo 3 90")
    assert pythons.find(future, future, "CHOSEN") == installed
    program(tmp_path / "shims" / "python3.90", "echo 3 90")
    assert pythons.find(future, future, "CHOSEN") == tmp_path / "shims" / "python3.90"
    monkeypatch.setenv("CHOSEN", str(program(tmp_path / "old", "echo 3 89")))
    assert pythons.find(future, future, "CHOSEN") == tmp_path / "shims" / "python3.90"
    monkeypatch.setenv("CHOSEN", str(program(tmp_path / "new", "echo 3 90")))
    assert pythons.find(future, future, "CHOSEN") == tmp_path / "new"


def test_without_python_313_set_up_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "BIGQUERY", tmp_path / "bigquery")
    monkeypatch.setattr(install, "UV", program(tmp_path / "uv", "exit 1"))
    monkeypatch.setattr(pythons, "find", lambda *_: None)
    with pytest.raises(install.SetUpFailed, match=r"needs Python 3\.13 or newer(.|\n)*FACESTREAM_PYTHON313"):
        install.fill_bigquery()


def test_a_long_step_gives_signs_of_life_and_its_errors_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "SIGN_OF_LIFE_S", 0.05)
    signs: list[str] = []

    def count(line: str, flush: bool) -> None:
        signs.append(line)
        if len(signs) == 3:
            (tmp_path / "seen").touch()

    monkeypatch.setattr(install, "print", count, raising=False)
    script = f"until [ -e '{tmp_path / 'seen'}' ]; do sleep 0.05; done; echo 'no such wheel' >&2; exit 3"
    with pytest.raises(install.SetUpFailed, match="could not wait: see above"):
        install._run("wait", "sh", "-c", script)
    assert len(signs) >= 3 and all(re.fullmatch(r"    wait: \d+ s so far", sign) for sign in signs)
    assert "no such wheel" in capfd.readouterr().err


def test_the_sample_photographs_are_six() -> None:
    photos = {path.stem: cv2.imread(str(path)) for path in sample_photos().iterdir()}
    assert set(photos) == {"biden", "obama", "obama2", "obama3", "obama_partial_face", "obama_partial_face2"}
    assert all(photo is not None and min(photo.shape[:2]) > 200 for photo in photos.values())


def test_a_home_that_cannot_be_written_does_not_break_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, clone = tmp_path / "home", tmp_path / "clone"
    monkeypatch.setattr(cache, "IN_CLONE", clone)
    for name in ("XDG_CACHE_HOME", "FACESTREAM_CACHE", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR", "PIP_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    there = cache.cached("there")
    assert home in there.parents and not cache.redirected()
    there.mkdir(parents=True)

    # A file in the place of the cache is in everybody's way, root's too; what is there already is still used.
    there.parent.rename(home / "facestream")
    there.parents[1].rmdir()
    there.parents[1].touch()
    assert cache.cached("missing") == clone / "facestream" / "missing"
    assert cache.redirected() == {
        "UV_CACHE_DIR": str(clone / "uv"),
        "UV_PYTHON_INSTALL_DIR": str(clone / "python"),
        "PIP_CACHE_DIR": str(clone / "pip"),
    }
    monkeypatch.setenv("UV_CACHE_DIR", "mine")
    assert "UV_CACHE_DIR" not in cache.redirected()
    monkeypatch.setenv("FACESTREAM_CACHE", str(home / "facestream"))
    assert cache.cached("there").exists() and home in cache.cached("missing").parents


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
