import json
from pathlib import Path

import pytest

from streams.cli.settings import masked
from streams.homes import run as up
from streams.homes.run import UP_FILE
from streams.settings import RUNNING_FILE, Settings
from streams.settings_file import SETTINGS_FILE
from tests.streams.cli.conftest import Run


def test_values_and_where_they_come_from(offline: Run, tmp_path: Path) -> None:
    home = tmp_path / ".facestream"
    home.mkdir()
    (home / RUNNING_FILE).write_text(json.dumps({"settings": {"partitions": 5, "kafka": "elsewhere:9092"}}))
    ended = offline("settings", "--json")
    assert ended.code == 0
    found = ended.json["settings"]
    assert set(found) == {f"FACESTREAM_{name.upper()}" for name in Settings.model_fields}
    assert found["FACESTREAM_PARTITIONS"] == {"value": "5", "from": ".facestream/running.json"}
    assert found["FACESTREAM_KAFKA"] == {"value": "127.0.0.1:1", "from": "environment"}
    assert found["FACESTREAM_REDIS_PREFIX"] == {"value": "facestream:", "from": "default"}


def test_the_password_of_a_stack_is_masked(offline: Run, tmp_path: Path) -> None:
    home = tmp_path / ".facestream"
    home.mkdir()
    (home / "pid").write_text("1\n")
    (home / UP_FILE).write_text(up.Run.own(True, "model").text())
    (home / RUNNING_FILE).write_text(json.dumps({"settings": {"redis_url": "redis://u:pa55@127.0.0.1:2/0"}}))
    ended = offline("status", "--json")
    assert ended.json["addresses"]["redis_url"] == "redis://u:***@127.0.0.1:2/0"
    assert "pa55" not in ended.out + ended.err


@pytest.mark.parametrize("arguments", [("doctor", "--quick"), ("watch",), ("sightings",), ("settings",)], ids=" ".join)
def test_an_address_that_cannot_be_used_shows_no_password(arguments: tuple[str, ...], offline: Run) -> None:
    ended = offline(*arguments, FACESTREAM_REDIS_URL="redis://u:pa55/word@host/0")
    assert "pa55" not in ended.out + ended.err
    assert arguments == ("settings",) or "FACESTREAM_REDIS_URL cannot be used" in ended.out + ended.err


def test_passwords_are_masked(offline: Run) -> None:
    ended = offline("settings", "--json", FACESTREAM_KAFKA_PASSWORD="pass-word")
    assert "secret" not in ended.out + ended.err
    assert "pass-word" not in ended.out + ended.err
    assert ended.json["settings"]["FACESTREAM_KAFKA_PASSWORD"] == {"value": "***", "from": "environment"}
    assert ended.json["settings"]["FACESTREAM_REDIS_URL"]["value"] == "redis://:***@127.0.0.1:1/0"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://u:se/cr@et@h:1/0", "redis://u:***@h:1/0"),
        ("redis://h:1/0?db=1&password=se@cret", "redis://h:1/0?db=1&password=***"),
        ("rediss://h/0?ssl_password=secret&db=1", "rediss://h/0?ssl_password=***&db=1"),
        (["file:///a/", "https://u:secret@h/"], '["file:///a/", "https://u:***@h/"]'),
        ("redis://h:1/0", "redis://h:1/0"),
    ],
)
def test_passwords_are_masked_wherever_they_stand(value: str | list[str], shown: str) -> None:
    assert masked(value) == shown


def test_the_table_for_the_readme(offline: Run) -> None:
    lines = offline("settings", "--markdown").out.splitlines()
    assert len(lines) == 2 + len(Settings.model_fields)
    assert all(line.startswith("| ") and line.count(" | ") >= 2 for line in lines[2:])
    assert "| `FACESTREAM_PARTITIONS` | `8` |" in "\n".join(lines)


def test_commands_say_what_is_wrong_with_it(offline: Run, tmp_path: Path) -> None:
    home = tmp_path / ".facestream"
    home.mkdir()
    (home / SETTINGS_FILE).write_text('partitions = "many"')
    ended = offline("settings")
    assert ended.code == 1
    assert ".facestream/facestream.toml: partitions = 'many' cannot be used: " in ended.err
    (home / SETTINGS_FILE).write_text("partition = 2")
    ended = offline("topics", "list")
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert "there is no setting partition; did you mean partitions?" in ended.err
    (home / SETTINGS_FILE).write_text("partitions = 2")
    told = offline("settings", "--json").json
    assert told["settings"]["FACESTREAM_PARTITIONS"] == {"value": "2", "from": ".facestream/facestream.toml"}
    assert (told["file"], told["file_exists"]) == (str(home / SETTINGS_FILE), True)
