"""The settings file of a home: what it may say, and what takes precedence over it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.client.settings import ClientSettings
from streams.settings import RUNNING_FILE, OwnSettings, Settings, origin
from streams.settings_file import SETTINGS_FILE, InvalidSettingsFile


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACESTREAM_HOME", str(tmp_path))
    for name in ("KAFKA", "RETENTION_HOURS", "REDIS_PREFIX"):
        monkeypatch.delenv(f"FACESTREAM_{name}", raising=False)
    return tmp_path


def write(home: Path, text: str) -> Path:
    path = home / SETTINGS_FILE
    path.write_text(text, "utf-8")
    return path


def test_the_order_of_precedence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(home, 'kafka = "file:1"\nretention_hours = 24\ncandidates = 7\nredis_prefix = "file:"\n')
    (home / RUNNING_FILE).write_text(json.dumps({"settings": {"kafka": "running:1", "redis_prefix": "running:"}}))
    monkeypatch.setenv("FACESTREAM_KAFKA", "variable:1")
    found = Settings(candidates=9)
    assert (found.kafka, found.redis_prefix, found.retention_hours) == ("variable:1", "running:", 24)
    assert (found.candidates, found.partitions) == (9, 8)
    assert [origin(name) for name in ("kafka", "redis_prefix", "retention_hours", "partitions")] == [
        "environment",
        str(home / RUNNING_FILE),
        str(file),
        "default",
    ]
    assert OwnSettings().redis_prefix == "file:", "a new stack takes nothing of one that ran"
    client = ClientSettings.from_environment()
    assert (client.kafka, client.redis_prefix) == ("variable:1", "running:")
    (home / RUNNING_FILE).unlink()
    assert ClientSettings.from_environment().redis_prefix == "file:"


def test_the_file_is_that_of_the_home_which_was_given(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(home, "candidates = 7")
    write(other, "candidates = 8")
    assert (Settings().candidates, OwnSettings(home=other).candidates) == (7, 8)


def test_values_are_those_of_toml_and_paths_are_relative_to_the_file(home: Path) -> None:
    write(home, 'models_dir = "versions"\ndata_dir = "/srv/data"\nuri_roots = ["file:///srv/"]\ncpu_threads = 2\n')
    found = Settings()
    assert (found.models_dir, found.data_dir) == (home / "versions", Path("/srv/data"))
    assert (found.uri_roots, found.cpu_threads) == (["file:///srv/"], 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retention_hour = 24", "there is no setting retention_hour; did you mean retention_hours?"),
        ("FACESTREAM_PARTITIONS = 4", "there is no setting FACESTREAM_PARTITIONS; did you mean partitions?"),
        ("[colours]\nred = 1", "there is no setting colours; `facestream settings` lists all"),
        ('home = "/elsewhere"', "sets home: that is the folder in which the file is"),
        ("retention_hours 24", "is not TOML: Expected '=' after a key"),
    ],
)
def test_a_file_that_cannot_be_used(home: Path, text: str, said: str) -> None:
    file = write(home, text)
    for settings in (Settings, OwnSettings):
        with pytest.raises(InvalidSettingsFile) as raised:
            settings()
        assert str(file) in str(raised.value) and said in str(raised.value)


def test_a_file_that_is_no_text(home: Path) -> None:
    (home / SETTINGS_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidSettingsFile, match="is not UTF-8"):
        Settings()
    (home / SETTINGS_FILE).unlink()
    (home / SETTINGS_FILE).mkdir()
    with pytest.raises(InvalidSettingsFile, match="cannot be read"):
        ClientSettings.from_environment()
