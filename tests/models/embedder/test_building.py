"""Networks are built in a process of their own, and loaded without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.embedder import building, runtime
from models.embedder.card import UnusableModel
from models.embedder.model import Model
from tests.models.embedder.test_model import CHIPS, tiny, write

pytestmark = pytest.mark.skipif(runtime.openvino() is None, reason="OpenVINO has no build for this system")
LOAD = """
import sys
from pathlib import Path
from models.embedder import building
building.load(Path(sys.argv[1]), threads=1)
print("tensorflow" in sys.modules)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACESTREAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def version(tmp_path: Path) -> Path:
    tiny().save(tmp_path / "model.keras")
    return write(tmp_path, "model.keras")


def test_a_process_that_loads_a_new_version_does_not_import_tensorflow(version: Path, cache: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LOAD, str(version)], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
    assert len(list((cache / "networks").iterdir())) == 1


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The processes that were started, where this one seems to have no TensorFlow."""
    found: list[list[str]] = []

    def run(words: list[str], **_: Any) -> None:
        found.append(words)
        raise subprocess.CalledProcessError(1, words)

    monkeypatch.setattr(building.subprocess, "run", run)
    monkeypatch.setattr(building.sys, "modules", {n: m for n, m in sys.modules.items() if n != "tensorflow"})
    return found


def test_where_the_other_process_fails_this_one_builds_it(version: Path, processes: list[list[str]]) -> None:
    model = building.load(version)
    assert len(processes) == 1
    assert np.array_equal(model.embed(CHIPS), Model.load(version).embed(CHIPS))


def test_what_is_kept_is_not_built_again(version: Path, processes: list[list[str]]) -> None:
    Model.load(version)
    building.load(version)
    assert not processes


def test_where_nothing_can_be_kept_no_process_is_started(
    version: Path, processes: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FACESTREAM_CACHE", str(tmp_path / "file"))
    building.load(version)
    assert not processes


def test_a_version_that_cannot_be_used_is_refused(tmp_path: Path, processes: list[list[str]]) -> None:
    (tmp_path / "model.keras").write_bytes(b"no network")
    with pytest.raises(UnusableModel):
        building.load(write(tmp_path, "model.keras"))
