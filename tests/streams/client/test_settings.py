"""A client's settings are those of the deployment, under the same names."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from streams.client.errors import FacestreamError, InvalidSettings
from streams.client.settings import ClientSettings
from streams.settings import RUNNING_FILE, Settings
from streams.settings_file import SETTINGS_FILE

NAMES = [field.name for field in fields(ClientSettings)]


def values(settings: object) -> dict[str, object]:
    return {name: getattr(settings, name) for name in NAMES}


def test_the_defaults_are_those_of_the_deployment() -> None:
    defaults = {name: Settings.model_fields[name].default for name in NAMES}
    assert values(ClientSettings()) == defaults


def test_the_environment_says_the_same_to_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / RUNNING_FILE).write_text(
        json.dumps({"settings": {"kafka": "running:1", "redis_url": "redis://running:2", "partitions": 3}})
    )
    monkeypatch.setenv("FACESTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("FACESTREAM_KAFKA", "named:9")
    monkeypatch.setenv("FACESTREAM_MAX_PICTURE_BYTES", "12345")
    found = ClientSettings.from_environment()
    assert values(found) == values(Settings())
    assert (found.kafka, found.redis_url, found.max_picture_bytes) == ("named:9", "redis://running:2", 12_345)


@pytest.mark.parametrize("text", ["", "many", "0", "-1"])
def test_a_value_that_cannot_be_used_is_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="FACESTREAM_MAX_MESSAGE_BYTES") as raised:
        ClientSettings.from_environment({"FACESTREAM_HOME": str(tmp_path), "FACESTREAM_MAX_MESSAGE_BYTES": text})
    assert isinstance(raised.value, FacestreamError)


def test_a_broken_running_file_says_nothing(tmp_path: Path) -> None:
    for text in ("", "[]", '{"settings": 1}', '{"settings": []}'):
        (tmp_path / RUNNING_FILE).write_text(text)
        assert ClientSettings.from_environment({"FACESTREAM_HOME": str(tmp_path)}) == ClientSettings()


def test_how_to_connect_is_the_same_for_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / SETTINGS_FILE).write_text('kafka_security_protocol = "SASL_SSL"\nkafka_ca_file = "ca.pem"\n')
    monkeypatch.setenv("FACESTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("FACESTREAM_KAFKA_USERNAME", "anna")
    monkeypatch.setenv("FACESTREAM_KAFKA_PASSWORD", "pass-word")
    monkeypatch.setenv("FACESTREAM_KAFKA_CERTIFICATE_FILE", "")
    found = ClientSettings.from_environment()
    assert values(found) == values(Settings())
    assert (found.kafka_ca_file, found.kafka_certificate_file) == (tmp_path / "ca.pem", None)
    assert (found.kafka_username, found.kafka_password) == ("anna", "pass-word")
    assert "pass-word" not in repr(found) + repr(Settings())
