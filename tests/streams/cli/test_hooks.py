"""``facestream hooks`` on a real Kafka, with a receiver on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.streams.cli.conftest import Run
from tests.streams.hooks.conftest import Receiver, shut


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    server = one.serve()
    yield one
    shut(server)


INSIDE = {"FACESTREAM_HOOK_PRIVATE_NETWORKS": "true"}


def test_a_hook_is_made_listed_tried_and_removed(facestream: Run, cluster: dict[str, str], receiver: Receiver) -> None:
    facestream("topics", "create")
    made = facestream("hooks", "add", receiver.address, "--user", "anna", "--name", "office", "--json", **INSIDE)
    assert made.code == 0, made.err
    hook_id, secret = made.json["hook_id"], made.json["secret"]
    assert made.json["kinds"] == ["sighting.begin", "sighting.end", "enrolment.enrolled", "enrolment.refused"]
    assert (Path(cluster["FACESTREAM_HOME"]) / "hooks.key").stat().st_mode & 0o077 == 0

    every = facestream("hooks", "add", receiver.address, "--all-users", "--events", "sighting, enrolment", **INSIDE)
    assert every.code == 0 and "whsec_" in every.out

    listed = facestream("hooks", "list", "--json")
    assert [one["user_id"] for one in listed.json["hooks"]] == ["anna", None]
    assert listed.json["hooks"][0] | {"status": "enabled", "waiting": 0} == listed.json["hooks"][0]
    assert secret not in listed.out and "secret_sha256" not in listed.out
    table = facestream("hooks", "list")
    assert hook_id in table.out and secret not in table.out

    tried = facestream("hooks", "test", hook_id[:15], "--json", **INSIDE)
    assert tried.code == 0 and tried.json["accepted"], tried.err
    assert receiver.accepted[0]["type"] == "test"
    receiver.status = 500
    failed = facestream("hooks", "test", hook_id, "--json", **INSIDE)
    assert failed.code == 1 and failed.json["answer"] == "it has answered 500"
    refused = facestream("hooks", "test", hook_id)
    assert refused.code == 1 and "https" in refused.out, "without the setting"

    assert facestream("hooks", "enable", hook_id, "--json").json["status"] == "enabled"
    assert facestream("hooks", "remove", hook_id).code == 0
    assert [one["user_id"] for one in facestream("hooks", "list", "--json").json["hooks"]] == [None]
    assert "see `facestream hooks list`" in facestream("hooks", "remove", hook_id).err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://example.org/", "--user", "anna"], "https"),
        (["https://127.0.0.1/", "--user", "anna"], "private"),
        (["https://example.org/"], "--all-users"),
        (["https://example.org/", "--user", "anna", "--all-users"], "--all-users"),
        (["https://example.org/", "--user", "anna", "--events", "matches"], "no kind"),
        (["https://example.org/", "--user", "anna", "--events", ","], "at least one"),
    ],
)
def test_what_cannot_be_a_hook_is_refused_before_anything_is_asked(
    offline: Run, arguments: list[str], said: str
) -> None:
    ended = offline("hooks", "add", *arguments)
    assert ended.code == 2
    assert said in " ".join(ended.err.split())
