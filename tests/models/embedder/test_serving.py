from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.embedder import dlib_format, runtime, serving, sface_format
from models.embedder.assets import RESNET, SFACE
from models.embedder.card import ChipGeometry
from models.reference import ask_sface, synthetic
from models.reference.ask_dlib import ANSWERS as DLIB
from models.reference.ask_sface import ANSWERS as SFACE_ANSWERS

DLIB_CHIP = ChipGeometry(size=150, padding=0.25, mean=(122.782, 117.001, 104.298), scale=1 / 256)
SFACE_CHIP = ChipGeometry(size=112, padding=0.25, mean=(127.5, 127.5, 127.5), scale=1 / 128)
NETWORKS = ["dlib", "sface"]


@cache
def network(name: str) -> tuple[ChipGeometry, Any]:
    runtime.tensorflow()
    from models.embedder import mobilenet, resnet

    if name == "dlib":
        return DLIB_CHIP, resnet.build(dlib_format.read_resnet(RESNET.read()))
    return SFACE_CHIP, mobilenet.build(sface_format.read_sface(SFACE.read()))


@cache
def served(name: str, half: bool = False) -> serving.ServedNetwork:
    chip, keras = network(name)
    return serving.serve(runtime.tensorflow(), chip, keras, half=half)


def chips_of(name: str) -> Any:
    return synthetic.chips() if name == "dlib" else ask_sface.chips()


def answers_of(name: str) -> Any:
    return np.load(DLIB if name == "dlib" else SFACE_ANSWERS)["vectors"]


def alike(some: Any, others: Any) -> Any:
    lengths = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    return (some * others).sum(1) / lengths


@pytest.mark.parametrize("name", NETWORKS)
def test_openvino_runs_the_reference_networks(name: str) -> None:
    if runtime.openvino() is None:
        pytest.skip("OpenVINO has no build for this system")
    assert served(name).runtime.startswith("OpenVINO ")
    assert served(name).runtime.endswith(", float32")


@pytest.mark.parametrize("name", NETWORKS)
def test_in_float32_the_vectors_are_those_of_the_weights_makers(name: str) -> None:
    found, wanted = served(name)(chips_of(name)), answers_of(name)
    if name == "sface":
        # Only their directions count, and the port scales them.
        found, wanted = (some / np.linalg.norm(some, axis=1, keepdims=True) for some in (found, wanted))
    assert np.abs(found - wanted).max() <= 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_in_half_precision_they_differ_little(name: str) -> None:
    assert alike(served(name, half=True)(chips_of(name)), answers_of(name)).min() >= 0.995


@pytest.mark.parametrize(
    ("name", "half"),
    [("sface", False), ("sface", True), ("dlib", False), pytest.param("dlib", True, marks=pytest.mark.long)],
)
def test_a_vector_does_not_depend_on_its_batch_nor_on_other_threads(name: str, half: bool) -> None:
    one, chips = served(name, half), np.resize(chips_of(name), (32, *chips_of(name).shape[1:]))
    alone = np.concatenate([one(chip[None]) for chip in chips])
    sizes = [2, 5, 7, 11, 24, 32] * 2
    with ThreadPoolExecutor(4) as pool:
        for size, vectors in zip(sizes, pool.map(lambda size: one(chips[:size]), sizes), strict=True):
            assert np.abs(vectors - alone[:size]).max() <= 1e-5 * np.abs(alone).max()


def refuses(*_: Any) -> Any:
    raise RuntimeError("no such operation")


FAILING = SimpleNamespace(Core=refuses, __version__="0")


@pytest.mark.parametrize("installed", [None, FAILING])
def test_tensorflow_runs_what_openvino_does_not(installed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "openvino", lambda: installed)
    one = served.__wrapped__("dlib", half=True)
    assert one.runtime.startswith("TensorFlow ")
    assert np.abs(one(synthetic.chips()) - answers_of("dlib")).max() <= 1e-5


def test_tensorflow_runs_what_openvino_computes_otherwise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if runtime.openvino() is None:
        pytest.skip("OpenVINO has no build for this system")
    monkeypatch.setattr(serving, "_FLOAT32_ERROR", -1.0)
    assert served.__wrapped__("dlib").runtime.startswith("TensorFlow ")
    assert "OpenVINO is off by" in caplog.text


def test_openvino_reports_nothing_to_its_makers() -> None:
    code = """
import sys
from models.embedder import runtime
if runtime.openvino() is not None:
    assert "openvino_telemetry" not in sys.modules
    from openvino.tools.ovc import telemetry
    assert telemetry.__class__.__module__ == "openvino.tools.ovc.telemetry_stub", telemetry
"""
    subprocess.run([sys.executable, "-c", code], check=True)
