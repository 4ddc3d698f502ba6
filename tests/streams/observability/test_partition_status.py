"""`facestream shards` on real workers: owners, what is enrolled, and where events wait."""

from __future__ import annotations

import re
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.services import LocalServices
from streams.client.producer import Producer
from streams.kafka.commit_metadata import CommitMetadata, ShardSize
from streams.settings import Settings
from tests.streams.cli.conftest import Ended, Run, environment, run, worker
from tests.waiting import pause_s

USERS = [f"user-{number}" for number in range(12)]
PHOTOS = 3


@pytest.fixture(scope="module")
def settings(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    name = f"shards-{uuid.uuid4().hex[:8]}"
    return Settings(
        **services.addresses.settings(),
        home=tmp_path_factory.mktemp("shards"),
        topic_prefix=f"{name}.",
        redis_prefix=f"{name}:",
        partitions=4,
    )


@pytest.fixture(scope="module")
def variables(settings: Settings) -> dict[str, str]:
    values = settings.model_dump(mode="json", exclude_unset=True)
    return environment(**{f"FACESTREAM_{name.upper()}": str(value) for name, value in values.items()})


@pytest.fixture(scope="module")
def facestream(variables: dict[str, str], settings: Settings) -> Run:
    def call(*arguments: object) -> Ended:
        return run(arguments, variables, settings.home)

    assert call("topics", "create").code == 0
    return call


def until(facestream: Run, so: Callable[[dict[str, Any]], bool], *arguments: str) -> dict[str, Any]:
    """The JSON of the command as soon as it is so."""
    deadline = time.monotonic() + 60
    while True:
        asked_at = time.monotonic()
        ended = facestream("shards", "--json", *arguments)
        assert ended.code == 0, ended.err
        if so(ended.json):
            return ended.json
        assert time.monotonic() < deadline, ended.out
        time.sleep(pause_s(asked_at))


def nothing_waits(said: dict[str, Any]) -> bool:
    return not any(one["lag_events"] for role in ("embed", "match") for one in said["roles"][role]["partitions"])


def templates(said: dict[str, Any]) -> int:
    return sum(one["templates"] for one in said["shards"])


def owned(said: dict[str, Any]) -> bool:
    return all(one["owner"] for one in said["shards"])


def test_before_anything_runs(facestream: Run) -> None:
    ended = facestream("shards", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["partitions"] == 4
    assert [one["partition"] for one in ended.json["shards"]] == [0, 1, 2, 3]
    for shard in ended.json["shards"]:
        assert (shard["owner"], shard["users"], shard["templates"], shard["lag_events"]) == (None, 0, 0, 0)
    assert "facestream worker match" in ended.err


def test_the_numbers_are_what_was_enrolled(facestream: Run, settings: Settings, variables: dict[str, str]) -> None:
    partitions: dict[str, int] = {}
    with Producer(settings, check_format=False) as producer:
        for user in USERS:
            for photo in range(PHOTOS):
                sent = producer.enrol(user, f"{user} {photo}".encode(), consent="tests")
                partitions[user] = sent.future.result(30).partition
    users = Counter(partitions.values())
    with ExitStack() as workers:
        for role in (("embed", "--embedder", "digest"), ("match", "--embedder", "digest")):
            workers.enter_context(worker(role, variables, settings.home))
        said = until(
            facestream, lambda said: nothing_waits(said) and templates(said) == len(USERS) * PHOTOS and owned(said)
        )
        for shard in said["shards"]:
            assert shard["owner"] == "match-0"
            assert shard["users"] == users[shard["partition"]]
            assert shard["templates"] == PHOTOS * users[shard["partition"]]
            assert shard["lag_s"] == 0
            if shard["users"]:
                assert 0 <= shard["committed_age_s"] < 3600
        [embed] = said["roles"]["embed"]["workers"]
        assert embed["name"] == "embed-0"
        assert said["roles"]["embed"]["settled"]
        shown = facestream("shards")
        assert shown.code == 0, shown.err
        expected = rf"^ *0 +match-0 +{users[0]} +{PHOTOS * users[0]} +0 +0 "
        assert re.search(expected, shown.out, re.MULTILINE), shown.out
        assert facestream("shards", "--role", "match").out.count("match-0") == 4
    gone = until(facestream, lambda said: not any(one["owner"] for one in said["shards"]))
    assert [one["templates"] for one in gone["shards"]] == [one["templates"] for one in said["shards"]]


def test_what_waits_and_since_when(facestream: Run) -> None:
    """No sink runs, so the outcomes of the enrolments wait for one."""
    said = facestream("shards", "--role", "sink-redis", "--json").json
    [role] = said["roles"].values()
    assert said.keys() == {"partitions", "roles"}
    assert sum(one["lag_events"] for one in role["partitions"]) == len(USERS) * PHOTOS
    waiting = [one for one in role["partitions"] if one["lag_events"]]
    assert waiting
    for one in waiting:
        assert one["owner"] is None
        assert 0 < one["lag_s"] < 3600
        assert one["committed_age_s"] is None
    time.sleep(0.5)
    later = facestream("shards", "--role", "sink-redis", "--json").json["roles"]["sink-redis"]["partitions"]
    for before, after in zip(role["partitions"], later, strict=True):
        if before["lag_events"]:
            assert 0.5 <= after["lag_s"] - before["lag_s"] < 3600


def test_topics_that_are_missing(facestream: Run, variables: dict[str, str], tmp_path: Path) -> None:
    ended = run(("shards",), variables | {"FACESTREAM_TOPIC_PREFIX": "nobody."}, tmp_path)
    assert ended.code == 1
    assert "facestream topics create" in ended.err


@pytest.mark.parametrize("text", ["", "projects/p/streams/1", "two\nlines", "facestream:{broken"])
def test_a_note_comes_back_as_it_was_given(text: str) -> None:
    note = CommitMetadata.parse(CommitMetadata(size=ShardSize(3, 7), text=text).now())
    assert (note.size, note.text) == (ShardSize(3, 7), text)
    assert note.at is not None
    assert abs(time.time() - note.at) < 5


@pytest.mark.parametrize("metadata", [None, "", "somebody else's", "facestream:{broken", 'facestream:{"at":"x"}\nrest'])
def test_a_note_of_somebody_else_is_all_text(metadata: str | None) -> None:
    assert CommitMetadata.parse(metadata) == CommitMetadata(text=metadata or "")
