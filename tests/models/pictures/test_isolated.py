"""A decoder that crashes, runs wild or lies takes nothing with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models.pictures import isolated
from models.pictures.decoder import decode
from schemas.parts import Refusal
from schemas.reasons import Reason
from tests.models.pictures.test_decoder import heif


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "crashed"),
        ("import os; os.abort()", "crashed"),
        ("import time; time.sleep(600)", "was not done after 1 s"),
        ('print(\'{"error": "no such thing"}\')', "no such thing"),
        ('print(\'{"of": [9, 9], "size": [9, 9], "mode": "RGB"}\'); print("too few")', "gave no picture"),
        ('print(\'{"of": [9, 9], "size": [9, 9], "mode": "F"}\')', "gave no picture"),
        ("print('[]')", "gave no picture"),
        ("print('{')", "gave no picture"),
    ],
)
def test_what_a_decoder_may_do(script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reader.py").write_text(script)
    monkeypatch.setattr(isolated, "_READER", str(tmp_path / "reader.py"))
    monkeypatch.setattr(isolated, "_LONGEST_S", 1.0 if "sleep" in script else 60.0)
    refusal = decode(heif("colour"), max_bytes=1_000_000, max_pixels=1_000_000)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNDECODABLE
    assert said in refusal.detail


@pytest.mark.parametrize("script", ["import os; os.kill(os.getpid(), 9)", "import nothing_of_that_name"])
def test_what_is_not_the_pictures_fault(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reader.py").write_text(script)
    monkeypatch.setattr(isolated, "_READER", str(tmp_path / "reader.py"))
    with pytest.raises(isolated.Interrupted):
        decode(heif("colour"), max_bytes=1_000_000, max_pixels=1_000_000)


def test_it_sees_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reader.py").write_text("import json, os; print(json.dumps({'error': str(dict(os.environ))}))")
    monkeypatch.setattr(isolated, "_READER", str(tmp_path / "reader.py"))
    monkeypatch.setenv("FACESTREAM_REDIS_URL", "redis://:secret@somewhere")
    refusal = decode(heif("colour"), max_bytes=1_000_000, max_pixels=1_000_000)
    assert isinstance(refusal, Refusal)
    assert "secret" not in refusal.detail


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("while True: pass", -24),
        ("bytearray(2**30)", 1),
        ("bytearray(2**30)", 0),
    ],
)
def test_its_limits_are_as_wide_as_the_size_explains(script: str, code: int) -> None:
    pixels = 50_000_000 if code == 0 else 0
    limited = f"from models.pictures import isolated_reader; isolated_reader._allow(0, {pixels})\n{script}"
    ended = subprocess.run([sys.executable, "-c", limited], stderr=subprocess.PIPE, check=False)
    assert ended.returncode == code, ended.stderr
