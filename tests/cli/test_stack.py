"""A stack on this machine: which settings it takes, and what it leaves where it cannot start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.cli.stack import Stack
from streams.settings import RUNNING_FILE, Settings


def _announced(folder: Path, **settings: object) -> Path:
    folder.mkdir()
    (folder / RUNNING_FILE).write_text(json.dumps({"settings": settings}))
    return folder


def test_a_new_stack_takes_no_settings_of_another_or_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = _announced(tmp_path / "other", topic_prefix="other.", candidates=9)
    own = _announced(tmp_path / "own", redis_prefix="earlier:", candidates=7)
    monkeypatch.setenv("FACESTREAM_HOME", str(other))
    monkeypatch.setenv("FACESTREAM_PARTITIONS", "2")
    with Stack(own, print, batch_size=3) as stack:
        assert not (own / RUNNING_FILE).exists()
        now = stack.settings
        assert (now.topic_prefix, now.redis_prefix, now.candidates) == ("", "facestream:", 5)
        assert (now.home, now.partitions, now.batch_size) == (own, 2, 3)
        stack.announce()
        monkeypatch.setenv("FACESTREAM_HOME", str(own))
        assert Settings() == Settings(**now.model_dump())
    assert not (own / RUNNING_FILE).exists()
