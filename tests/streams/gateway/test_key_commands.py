"""``facestream keys``: a key is shown once, listed without its secret, and revoked by its visible part."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.api_keys.local_key import KEY_FILE, local_key
from streams.api_keys.secrets import parsed_key
from streams.api_keys.store import KeyNotMade, create_key, revoke_key
from streams.settings import Settings
from tests.streams.cli.conftest import Run, environment, run
from tests.streams.gateway.conftest import process_variables


@pytest.fixture
def facestream(settings: Settings, tmp_path: Path) -> Run:
    """Run a command on the cluster of these tests."""
    return lambda *arguments: run(arguments, environment(**process_variables(settings)), tmp_path)


def test_a_key_is_made_listed_and_revoked(facestream: Run) -> None:
    options = ("--scopes", "read,upload", "--user", "eve", "--name", "till", "--expires", "1h", "--json")
    made = facestream("keys", "create", *options)
    assert made.code == 0, made.err
    key = made.json["key"]
    assert parsed_key(key) is not None and key.startswith(f"{made.json['key_id']}_")
    assert made.json["scopes"] == ["upload", "read"] and made.json["users"] == ["eve"] and made.json["expires_at"]
    listed = facestream("keys", "list", "--json")
    (one,) = (one for one in listed.json["keys"] if one["name"] == "till")
    assert (one["key_id"], one["status"], one["all_users"]) == (made.json["key_id"], "valid", False)
    secret = key.rpartition("_")[2]
    assert secret not in listed.out + facestream("keys", "list").out and "sha256" not in listed.out
    assert facestream("keys", "revoke", one["key_id"], "--json").json["status"] == "revoked"
    statuses = {one["key_id"]: one["status"] for one in facestream("keys", "list", "--json").json["keys"]}
    assert statuses[made.json["key_id"]] == "revoked"
    missing = facestream("keys", "revoke", "fs_aaaaaaaaaa")
    assert missing.code == 1 and "there is no key fs_aaaaaaaaaa" in missing.err


@pytest.mark.parametrize(
    "options",
    [
        ("--scopes", "fly", "--all-users"),
        ("--scopes", "", "--all-users"),
        ("--scopes", "read"),
        ("--scopes", "read", "--all-users", "--user", "eve"),
        ("--scopes", "read", "--all-users", "--expires", "soon"),
        ("--scopes", "read", "--all-users", "--expires", "2020-01-01"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(facestream: Run, options: tuple[str, ...]) -> None:
    assert facestream("keys", "create", *options).code == 2


def test_a_stack_keeps_its_key_until_it_is_revoked(settings: Settings, tmp_path: Path) -> None:
    first = local_key(settings, tmp_path)
    assert local_key(settings, tmp_path) == first
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0
    revoke_key(settings, first.key_id)
    assert local_key(settings, tmp_path) != first
    assert first.secret not in repr(first)
    with pytest.raises(KeyNotMade):
        create_key(settings, [], all_users=True)
