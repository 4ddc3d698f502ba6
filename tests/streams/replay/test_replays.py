"""Replays of frames, uploads and embeddings through live workers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError

from schemas import codec
from schemas.clock import utc_now
from schemas.gallery import Template
from schemas.replays import OffsetRange, ReplayState
from streams.devtools.local_stack import Stack
from streams.kafka.connection import admin_client, client_config
from streams.kafka.messages import TopicPartition, to_confluent
from streams.kafka.offsets import next_offsets
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.matching.changelog import changelog_name
from streams.replay import store
from streams.replay.plan import ReplayPlan, ReplayRequest, make_plan
from streams.replay.sender import Sender
from streams.replay.times import OLDEST
from streams.roles import Role
from tests.integration.clients import TIMEOUT_S, Clients, Json, eventually
from tests.streams.replay.conftest import Run


def picture(of: str) -> bytes:
    return of.encode() * 50


@dataclass(frozen=True)
class House:
    """A user with one subject enrolled, a frame of it and one of somebody who is not enrolled, of two cameras."""

    user: str
    upload: str
    known: str
    stranger: str


@pytest.fixture
def house(clients: Clients) -> House:
    user = f"user-{uuid.uuid4().hex[:8]}"
    send = clients.producer
    upload = send.enrol(user, picture(f"{user} a"), consent="tests", subject_id="a").event_id
    known = send.frame(user, picture(f"{user} a"), camera_id="door").event_id
    stranger = send.frame(user, picture(f"{user} b"), camera_id="gate").event_id
    for one in (upload, known, stranger):
        assert clients.answer(one)
    return House(user, upload, known, stranger)


def planned(clients: Clients, topic: Topic, users: list[str], **changes: Any) -> ReplayPlan:
    return make_plan(clients.settings, ReplayRequest(topic, OLDEST, utc_now(), users, **changes))


def replayed(clients: Clients, topic: Topic, users: list[str], **changes: Any) -> str:
    sender = Sender(clients.settings, planned(clients, topic, users, **changes).replay)
    done = sender.run()
    assert done.state is ReplayState.FINISHED
    assert sender.progress.answered == sender.progress.sent == done.sent
    return done.replay_id


def result(clients: Clients, event_id: str, replay_id: str) -> Json:
    return eventually(lambda: clients.results.result(event_id, replay_id), f"{replay_id} has answered {event_id}")


def current(clients: Clients, event_id: str, replay_id: str | None) -> Json:
    def ask() -> Json | None:
        found = clients.results.result(event_id) or clients.results.enrolment(event_id)
        return found if found and found["replay_id"] == replay_id else None

    return eventually(ask, f"{event_id} has its answer from {replay_id}")


def subject(answer: Json) -> str | None:
    name: str | None = answer["faces"][0]["subject_id"]
    return name


def live_entries(clients: Clients, user: str) -> int:
    return len(list(clients.results.follow(user, after="0", timeout_s=0.2)))


def rows(clients: Clients, table: str, event_id: str, wanted: int) -> list[Json]:
    sql = f"SELECT * FROM {table} WHERE event_id = '{event_id}' ORDER BY kafka_offset"
    return eventually(
        lambda: found if len(found := clients.query(sql)) == wanted else None, f"{wanted} rows in {table}"
    )


def test_what_would_be_replayed(facestream: Run, clients: Clients, house: House) -> None:
    before = store.replays(clients.settings)
    for topic, events in ((Topic.FRAMES, 2), (Topic.UPLOADS, 1), (Topic.EMBEDDINGS, 3)):
        ended = facestream("replay", topic, "--from", "-1h", "--user", house.user, "--dry-run", "--json")
        assert ended.code == 0, ended.err
        assert (ended.json["events"], ended.json["exact"], ended.json["dry_run"]) == (events, True, True)
        (count,) = ended.json["partitions"].values()
        assert count == events
        assert 0 < ended.json["estimated_s"] < 1
        assert "UTC, less than a second\n" in ended.err
    whole = facestream("replay", "frames", "--from", "oldest", "--dry-run", "--json").json
    ends = next_offsets(admin_client(clients.settings), [TopicPartition("frames", number) for number in range(3)])
    assert not whole["exact"]
    assert whole["events"] == sum(ends.values()) == sum(whole["partitions"].values())
    door = facestream("replay", "embeddings", "--from", "-1h", "-u", house.user, "-c", "door", "--dry-run", "--json")
    assert door.json["events"] == 1
    assert store.replays(clients.settings) == before


def test_results_beside_the_live_ones(clients: Clients, house: House) -> None:
    live = {one: clients.results.result(one) for one in (house.known, house.stranger)}
    latest = clients.results.latest(house.user, "gate")
    announced = live_entries(clients, house.user)
    enrolled = clients.producer.enrol(house.user, picture(f"{house.user} b"), consent="tests", subject_id="b")
    assert clients.answer(enrolled.event_id)
    replay_id = replayed(clients, Topic.FRAMES, [house.user])
    again = result(clients, house.stranger, replay_id)
    assert (subject(again), again["replay_id"], again["corrects"]) == ("b", replay_id, False)
    first = live[house.stranger]
    assert first is not None
    assert (again["source"], again["captured_at"]) == (first["source"], first["captured_at"])
    assert again["timings"]["produced_at"] == first["timings"]["produced_at"]
    assert subject(result(clients, house.known, replay_id)) == "a"
    assert {one: clients.results.result(one) for one in live} == live
    assert clients.results.latest(house.user, "gate") == latest
    assert live_entries(clients, house.user) == announced + 1
    found = rows(clients, "matches", house.stranger, 2)
    assert [row["replay_id"] for row in found] == [None, replay_id]
    (difference,) = clients.query(f"SELECT * FROM replay_differences WHERE replay_id = '{replay_id}'")
    assert (difference["event_id"], difference["live_decision"]) == (house.stranger, "unknown")
    assert (difference["replay_decision"], difference["replay_subject_id"]) == ("match", "b")


def test_a_replay_of_uploads_beside_leaves_the_gallery_alone(clients: Clients, house: House) -> None:
    before = gallery(clients)
    replay_id = replayed(clients, Topic.UPLOADS, [house.user])
    eventually(lambda: clients.results.enrolment(house.upload, replay_id), "the replay's outcome")
    assert gallery(clients) == before
    assert clients.results.subjects(house.user) == {"a": 1}


@pytest.mark.parametrize("topic", [Topic.FRAMES, Topic.EMBEDDINGS])
def test_correcting_twice_changes_nothing_more(topic: Topic, clients: Clients, house: House) -> None:
    enrolled = clients.producer.enrol(house.user, picture(f"{house.user} b"), consent="tests", subject_id="b")
    assert clients.answer(enrolled.event_id)
    changes = {"corrects": True, "event_ids": [house.stranger]}
    first = replayed(clients, topic, [house.user], **changes)
    assert subject(current(clients, house.stranger, first)) == "b"
    assert subject(clients.results.latest(house.user, "gate") or {}) == "b"
    assert subject(current(clients, house.known, None)) == "a"
    second = replayed(clients, topic, [house.user], **changes)

    def plain(answer: Json) -> Json:
        return {key: value for key, value in answer.items() if key not in {"replay_id", "matched_at", "timings"}}

    one, two = rows(clients, "matches", house.stranger, 3)[1:]
    assert (one["replay_id"], two["replay_id"]) == (first, second)
    assert one["faces"] == two["faces"]
    (shown,) = rows(clients, "results", house.stranger, 1)
    assert (shown["replay_id"], shown["faces"][0]["subject_id"]) == (second, "b")
    again = current(clients, house.stranger, second)
    assert plain(again) == plain(clients.results.latest(house.user, "gate") or {})
    assert subject(again) == "b"
    assert live_entries(clients, house.user) == 4


def test_a_gallery_is_rebuilt_template_by_template(stack: Stack, clients: Clients, house: House) -> None:
    for number in range(30):
        clients.producer.enrol(house.user, picture(f"{house.user} {number}"), consent="tests", subject_id=str(number))
    refused = clients.producer.enrol(house.user, "file:///nowhere", consent="tests").event_id
    assert clients.answer(refused)["outcome"] == "refused"
    before = gallery(clients)
    assert len([one for one in before.values() if one.user_id == house.user]) == 31
    names = [name for name in stack.services.supervisor.running() if name.startswith("match-")]
    for name in names:
        stack.services.supervisor.stop(name)
    shutil.rmtree(stack.settings.worker_dir(""))
    admin = admin_client(clients.settings)
    changelog = changelog_name(clients.settings)
    admin.delete_topics([changelog])[changelog].result(30)
    eventually(lambda: changelog not in admin.list_topics(timeout=5).topics, "the gallery is lost")
    create(admin, stack.settings, accept_loss=True)
    for _ in names:
        stack.add_worker(Role.MATCH, "--embedder", "digest")
    stack.await_owners([Role.MATCH])
    asked = clients.producer.frame(house.user, picture(f"{house.user} a"), camera_id="door").event_id
    assert clients.answer(asked)["faces"][0]["reason"] == "empty_gallery"

    replay_id = replayed(clients, Topic.UPLOADS, [], corrects=True)
    assert gallery(clients) == before
    current(clients, house.upload, replay_id)
    asked = clients.producer.frame(house.user, picture(f"{house.user} a"), camera_id="door").event_id
    assert subject(clients.answer(asked)) == "a"
    replayed(clients, Topic.UPLOADS, [], corrects=True)
    assert gallery(clients) == before
    replayed(clients, Topic.EMBEDDINGS, [house.user], corrects=True)
    assert gallery(clients) == before


def gallery(clients: Clients) -> dict[bytes, Template]:
    """The templates that the changelog of the gallery holds."""
    name = changelog_name(clients.settings)
    parts = [TopicPartition(name, number) for number in range(3)]
    ends = next_offsets(admin_client(clients.settings), parts)
    reader = {"group.id": "tests", "enable.partition.eof": True, "auto.offset.reset": "earliest"}
    newest: dict[bytes, bytes | None] = {}
    with closing(Consumer(client_config(clients.settings) | reader)) as consumer:
        consumer.assign([to_confluent(one, 0) for one in parts])
        at_end = 0
        while at_end < len(ends):
            message = consumer.poll(10)
            assert message is not None
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error.str()
                at_end += 1
            else:
                newest[message.key() or b""] = message.value()
    return {key: codec.decode(value, Template) for key, value in newest.items() if value}


def test_stop_and_resume(stack: Stack, clients: Clients, facestream: Run, tmp_path: Path) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    events = [clients.producer.frame(user, picture(user), camera_id="door").event_id for _ in range(120)]
    assert len(clients.results.wait_for(events, TIMEOUT_S)) == len(events)
    command = [sys.executable, "-m", "streams.cli", "replay", "frames", "--from", "-1h", "-u", user, "--rate", "20"]
    process = subprocess.Popen(
        [*command, "--json"],
        env=environment(stack),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def begun() -> str | None:
        mine = [one for one in store.replays(clients.settings) if one.users == [user] and one.sent > 20]
        return mine[0].replay_id if mine else None

    replay_id = eventually(begun, "the replay is under way")
    listed = {one["replay_id"]: one for one in facestream("replay", "list", "--json").json["replays"]}
    assert listed[replay_id]["state"] == "running"
    twice = facestream("replay", "--resume", replay_id)
    assert (twice.code, "is under way on" in twice.err) == (1, True)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert f"facestream replay --resume {replay_id}" in err
    assert f'"replay_id": "{replay_id}"' in out
    stopped = next(one for one in store.replays(clients.settings) if one.replay_id == replay_id)
    assert stopped.state is ReplayState.STOPPED
    assert 20 < stopped.sent < 120

    resumed = facestream("replay", "--resume", replay_id, "--json")
    assert resumed.code == 0, resumed.err
    assert (resumed.json["state"], resumed.json["sent"]) == ("finished", 120)
    now = 120 - stopped.sent
    assert resumed.json["sent_now"] == resumed.json["answered"] == now
    assert f"{now} events sent (with those before 120), {now} answered" in resumed.err
    assert all(result(clients, one, replay_id) for one in events)
    sql = f"SELECT event_id FROM matches WHERE replay_id = '{replay_id}'"
    found = eventually(lambda: some if len(some := clients.query(sql)) >= 120 else None, "all rows")
    assert {row["event_id"] for row in found} == set(events)
    assert len(found) == 120
    again = facestream("replay", "--resume", replay_id)
    assert (again.code, "is finished" in again.err) == (1, True)


def test_a_killed_replay_is_resumed_without_a_gap(clients: Clients) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    events = [clients.producer.frame(user, picture(user), camera_id="door").event_id for _ in range(60)]
    assert len(clients.results.wait_for(events, TIMEOUT_S)) == len(events)
    plan = planned(clients, Topic.FRAMES, [user])
    # As a kill leaves it: more was sent than its record says, which is fresh.
    Sender(clients.settings, plan.replay).run()
    (whole,) = plan.replay.ranges
    partial = OffsetRange(
        whole.partition, whole.first_offset, (whole.first_offset + whole.end_offset) // 2, whole.end_offset
    )
    record = store.ReplayStore(clients.settings)
    record.save(replace(plan.replay, state=ReplayState.FAILED, ranges=[partial]))
    Sender(clients.settings, store.find(clients.settings, plan.replay.replay_id)).run()
    sql = f"SELECT event_id FROM matches WHERE replay_id = '{plan.replay.replay_id}'"
    found = eventually(lambda: some if len(some := clients.query(sql)) >= 60 else None, "all rows")
    assert sorted(row["event_id"] for row in found) == sorted(events)


NOBODY = "5e48b24a-e01d-448d-b606-f7f6b29ca0a9"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("matches", "--from", "-1h"), 2, "matches are made from frames and embeddings: replay these"),
        (("enrolments", "--from", "-1h"), 2, "enrolments are made from uploads and embeddings"),
        (("pictures", "--from", "-1h"), 2, "there is no topic 'pictures'"),
        (("frames",), 2, "--from"),
        ((), 2, "say what to replay"),
        (("frames", "--from", "yesterday"), 1, "'yesterday' is no time"),
        (("frames", "--from", "now", "--to", "-1h"), 1, "is not before --to"),
        (("frames", "--from", "2020-01-01", "--to", "2020-01-02"), 1, "frames holds nothing between"),
        (("frames", "--from", "-1h", "--user", "nobody"), 1, "there is no user 'nobody'"),
        (("frames", "--from", "-1h", "--event", NOBODY), 1, f"there is no event {NOBODY}"),
        (("frames", "--from", "-1h", "--event", "x"), 2, "'x' is no event id"),
        (("frames", "--from", "-1h", "--camera", "none"), 1, "nothing on frames in that time is as asked for"),
        (("frames", "--from", "-1h", "--model", "m9"), 1, "the workers run model 'digest', not 'm9'"),
        (("uploads", "--from", "-1h", "--camera", "door"), 2, "--camera"),
        (("--resume", "r9"), 1, "there is no replay 'r9'"),
    ],
)
def test_what_cannot_be_replayed(
    arguments: tuple[str, ...], code: int, said: str, facestream: Run, clients: Clients, house: House
) -> None:
    ends = log_ends(clients)
    ended = facestream("replay", *arguments)
    assert (ended.code, ended.err.count("\n")) == (code, 1)
    assert said in ended.err
    assert log_ends(clients) == ends


def log_ends(clients: Clients) -> dict[TopicPartition, int]:
    topics = ("frames", "uploads", "embeddings", "replays")
    parts = [TopicPartition(topic, number) for topic in topics for number in range(3)]
    return next_offsets(admin_client(clients.settings), parts)


DOCUMENT = Path(__file__).parents[3] / "docs" / "operations.md"


def test_the_commands_of_the_document(facestream: Run, clients: Clients) -> None:
    frame = clients.producer.frame("anna", picture("anna"), camera_id="front-door")
    upload = clients.producer.enrol("anna", picture("anna"), consent="tests")
    assert clients.answers([frame.event_id, upload.event_id])
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    wanted = ("facestream replay", "facestream dead-letters", "facestream bigquery", "facestream topics")
    commands = [line for block in blocks for line in block.splitlines() if line.startswith(wanted)]
    assert len(commands) == 12
    for line in commands:
        ended = facestream(*shlex.split(line)[1:])
        assert ended.code == 0, f"{line}: {ended.err}"


def test_what_the_log_no_longer_holds(facestream: Run, clients: Clients, house: House) -> None:
    admin = admin_client(clients.settings)
    ends = next_offsets(admin, [TopicPartition("frames", number) for number in range(3)])
    cut = [to_confluent(one, end - 1) for one, end in ends.items() if end > 1]
    for future in admin.delete_records(cut).values():
        future.result(30)
    ended = facestream("replay", "frames", "--from", "-1d", "--dry-run")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "frames no longer holds all since" in ended.err
    assert "--from oldest" in ended.err
    left = facestream("replay", "frames", "--from", "oldest", "--dry-run", "--json")
    assert left.json["events"] == len(cut)


def test_without_a_worker_nothing_is_sent(stack: Stack, facestream: Run, clients: Clients, house: House) -> None:
    names = [name for name in stack.services.supervisor.running() if name.startswith("embed-")]
    for name in names:
        stack.services.supervisor.stop(name)
    ends = log_ends(clients)
    ended = facestream("replay", "uploads", "--from", "-1h", "--user", house.user)
    assert ended.code == 1
    assert "no embed worker reads uploads" in ended.err
    assert log_ends(clients) == ends
    for _ in names:
        stack.add_worker(Role.EMBED, "--embedder", "digest")
    stack.await_owners([Role.EMBED])


def environment(stack: Stack) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FACESTREAM_")}
    return plain | stack.environment() | {"PYTHONPATH": str(Path.cwd()), "COLUMNS": "200"}
