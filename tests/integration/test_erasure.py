"""A person who is erased is gone from everywhere, and no replay brings him back."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from schemas import codec
from schemas.clock import utc_now
from schemas.erasure import Erasure
from schemas.errors import CodecError
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.receipts import Receipt
from streams.devtools.local_stack import Stack
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.operations.erase import erase
from streams.training_data.chip_store import read_kept_chips
from tests.integration.clients import Clients, eventually, facestream, named, new_user
from tests.integration.conftest import Portraits


def agreed() -> Consent:
    return Consent("tests", utc_now(), training=True)


def enrolled(clients: Clients, user: str, subject: str, photo: bytes) -> str:
    sent = clients.producer.enrol(user, photo, subject_id=subject, consent=agreed())
    assert clients.answer(sent.event_id)["outcome"] == "enrolled"
    return sent.event_id


def seen(clients: Clients, user: str, photo: bytes) -> dict[str, Any]:
    sent = clients.producer.frame(user, photo, camera_id="door")
    clients.row("matches", sent.event_id)
    return clients.answer(sent.event_id)


def names_in_bigquery(clients: Clients, user: str) -> str:
    """All that the tables hold of a user, as text."""
    tables = ("matches", "enrolments", "comparisons", "feedback", "drift", "sightings")
    return str([clients.query(f"SELECT * FROM {table} WHERE user_id = @user", user=user) for table in tables])


def answered(counts: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Counts by role without what nobody waits for: drift and sightings answer nobody, and save their state later."""
    left = {role: of for role, of in counts.items() if role not in ("drift", "sightings")}
    return {role: {name: count for name, count in of.items() if name != "sightings"} for role, of in left.items()}


def done(receipt: Receipt) -> Receipt:
    assert receipt.completed_at is not None
    assert receipt.waiting_for == ()
    return receipt


def test_a_subject_is_erased_and_a_replay_brings_nobody_back(
    stack: Stack, clients: Clients, user: str, portraits: Portraits, tmp_path: Path
) -> None:
    began = utc_now()
    of_obama = enrolled(clients, user, "obama", portraits.obama)
    enrolled(clients, user, "biden", portraits.biden)
    obama, biden = seen(clients, user, portraits.obama2), seen(clients, user, portraits.biden)
    assert (named(obama), named(biden)) == (["obama"], ["biden"])
    assert [one["subject_id"] for one in biden["faces"][0]["candidates"]] == ["biden", "obama"]

    environment = stack.environment()
    whom = ("erase", "--user", user, "--subject", "obama", "--json")
    planned = json.loads(facestream(environment, tmp_path, *whom, "--dry-run").stdout.splitlines()[-1])
    said = facestream(environment, tmp_path, *whom, "--yes").stdout
    receipt = json.loads(said.splitlines()[-1])
    removed, counted = receipt["removed"], planned["would_remove"]
    assert answered(counted) == answered(removed)
    assert receipt["completed_at"] is not None
    assert receipt["removed"]["match"] == {"templates": 1}
    assert receipt["removed"]["chips"] == {"faces": 1}
    assert answered(removed)["sink-redis"] == {"answers": 3, "latest": 1, "live": 3, "subjects": 1}
    assert receipt["removed"]["sink-bigquery"]["enrolments"] == 1
    assert receipt["removed"]["sink-bigquery"]["matches"] == 2

    left = clients.answer(biden["event_id"])
    assert [one["subject_id"] for one in left["faces"][0]["candidates"]] == ["biden"]
    assert clients.answer(obama["event_id"])["faces"][0]["reason"] == "erased"
    assert clients.results.enrolment(of_obama) is None
    clients.await_subjects(user, {"biden": 1})
    assert "obama" not in names_in_bigquery(clients, user)
    assert [one.chip.subject_id for one in read_kept_chips(stack.settings).of(user, None)] == ["biden"]
    assert named(seen(clients, user, portraits.obama3)) == [None]

    since = ("--from", began.isoformat(), "--user", user)
    for topic, left_out in (("uploads", 1), ("embeddings", 1), ("frames", 0)):
        ended = facestream(environment, tmp_path, "replay", topic, *since, "--correct", "--json")
        replay = json.loads(ended.stdout.splitlines()[-1])
        assert (replay["erased"], replay["unanswered"]) == (left_out, 0)
        assert replay["sent"] == replay["answered"] > 0
    again = seen(clients, user, portraits.obama3)
    assert [one["subject_id"] for one in again["faces"][0]["candidates"]] == ["biden"]
    assert "obama" not in names_in_bigquery(clients, user)
    assert clients.results.subjects(user) == {"biden": 1}
    assert [one.chip.subject_id for one in read_kept_chips(stack.settings).of(user, None)] == ["biden"]

    enrolled(clients, user, "obama", portraits.obama)
    assert named(seen(clients, user, portraits.obama2)) == ["obama"], "whoever comes again is welcome"


def test_a_photo_is_erased_and_a_replay_does_not_bring_it_back(
    stack: Stack, clients: Clients, user: str, portraits: Portraits, tmp_path: Path
) -> None:
    began = utc_now()
    first = enrolled(clients, user, "obama", portraits.obama)
    kept = enrolled(clients, user, "obama", portraits.obama2)
    again = enrolled(clients, user, "obama", portraits.obama)
    assert clients.row("enrolments", again)["repeats"] == first
    clients.row("enrolments", kept)
    clients.await_subjects(user, {"obama": 2})

    environment = stack.environment()
    whom = ("erase", "--user", user, "--subject", "obama", "--photo", again, "--json")
    planned = json.loads(facestream(environment, tmp_path, *whom, "--dry-run").stdout.splitlines()[-1])
    receipt = json.loads(facestream(environment, tmp_path, *whom, "--yes").stdout.splitlines()[-1])
    removed = {role: counts for role, counts in receipt["removed"].items() if any(counts.values())}
    assert planned["would_remove"] == removed
    assert removed == {
        "match": {"templates": 1},
        "sink-redis": {"answers": 2, "live": 2},
        "sink-bigquery": {"enrolments": 2},
        "chips": {"faces": 1},
    }
    assert sorted(receipt["photo"]) == sorted([first, again]) and receipt["completed_at"] is not None

    def nothing_else_left() -> None:
        clients.await_subjects(user, {"obama": 1})
        assert clients.results.enrolment(first) is None and clients.results.enrolment(again) is None
        rows = clients.query("SELECT DISTINCT event_id FROM enrolments WHERE user_id = @user", user=user)
        assert [row["event_id"] for row in rows] == [kept]
        assert [one.chip.event_id for one in read_kept_chips(stack.settings).of(user, None)] == [kept]
        assert named(seen(clients, user, portraits.obama3)) == ["obama"], "by the other photo"

    nothing_else_left()
    since = ("--from", began.isoformat(), "--user", user)
    for topic in ("uploads", "embeddings"):
        ended = facestream(environment, tmp_path, "replay", topic, *since, "--correct", "--json")
        replay = json.loads(ended.stdout.splitlines()[-1])
        assert (replay["erased"], replay["unanswered"]) == (2, 0)
    nothing_else_left()
    repeated = json.loads(facestream(environment, tmp_path, *whom, "--yes").stdout.splitlines()[-1])
    assert not any(count for counts in repeated["removed"].values() for count in counts.values())

    enrolled(clients, user, "obama", portraits.obama)
    clients.await_subjects(user, {"obama": 2})


def test_a_user_is_erased_with_what_is_still_under_way(clients: Clients, stack: Stack, portraits: Portraits) -> None:
    user, other = new_user("gone"), new_user("stays")
    enrolled(clients, other, "obama", portraits.obama)
    photos = [portraits.obama, portraits.obama2, portraits.biden]
    under_way = [
        clients.producer.enrol(user, one, subject_id=f"s{n}", consent=agreed()) for n, one in enumerate(photos)
    ]
    under_way += [clients.producer.frame(user, portraits.obama, camera_id="door") for _ in range(20)]
    clients.producer.flush()
    done(erase(stack.settings, user))
    # What comes later on the same partition is seen later.
    last = seen(clients, user, portraits.obama)
    assert last["faces"][0]["reason"] == "empty_gallery"
    assert clients.results.wait_for([one.event_id for one in under_way], timeout_s=1) == {}
    assert clients.results.subjects(user) == {}
    rows = clients.query("SELECT event_id FROM matches WHERE user_id = @user", user=user)
    assert [row["event_id"] for row in rows] == [last["event_id"]]
    assert clients.query("SELECT event_id FROM enrolments WHERE user_id = @user", user=user) == []
    assert read_kept_chips(stack.settings).of(user, None) == []
    assert named(seen(clients, other, portraits.obama2)) == ["obama"]
    again = done(erase(stack.settings, user))
    assert again.removed["match"] == {"templates": 0}


def test_workers_that_are_killed_erase_when_they_are_back(
    clients: Clients, stack: Stack, user: str, portraits: Portraits
) -> None:
    enrolled(clients, user, "obama", portraits.obama)
    seen(clients, user, portraits.obama2)
    workers = ["match-0", "sink-redis-0", "sink-bigquery-0"]
    for name in workers:
        stack.services.supervisor.kill(name)
    receipt = erase(stack.settings, user, "obama", timeout_s=1)
    assert receipt.completed_at is None
    assert {"match", "sink-redis", "sink-bigquery"} <= set(receipt.waiting_for)
    for name in workers:
        stack.services.supervisor.restart(name)

    def answered() -> bool:
        stages = set()
        for message in read_topic(stack.settings, Topic.ERASURES):
            with suppress(CodecError):  # What other tests on this stack have written there.
                found = codec.decode(message.value, Erasure)
                stages |= {found.stage} if found.erasure_id == receipt.erasure_id else set()
        return stages >= set(receipt.waiting_for)

    eventually(answered, "all have erased", 120)
    assert "obama" not in names_in_bigquery(clients, user)
    clients.await_subjects(user, {})
    assert named(seen(clients, user, portraits.obama2)) == [None]


def test_rubbish_on_the_topic_stops_nobody(clients: Clients, stack: Stack, user: str, portraits: Portraits) -> None:
    places = [clients.put(Topic.ERASURES, value, user) for value in (b"rubbish", None, codec.encode(_foreign()))]
    assert {letter.stage for letter in clients.letters(places).values()} == {"match"}
    assert done(erase(stack.settings, user)).removed["match"] == {"templates": 0}
    assert enrolled(clients, user, "obama", portraits.obama)


def _foreign() -> Erasure:
    return Erasure(new_event_id(), "somebody-else", utc_now())


def test_who_came_back_while_the_sinks_were_away_stays(
    clients: Clients, stack: Stack, user: str, portraits: Portraits
) -> None:
    """The erasure is older than what waits behind it, and takes nothing of that."""
    before = enrolled(clients, user, "obama", portraits.obama)
    old = seen(clients, user, portraits.obama2)
    sinks = ["sink-redis-0", "sink-bigquery-0"]
    for name in sinks:
        stack.services.supervisor.kill(name)
    assert erase(stack.settings, user, timeout_s=2).removed["match"] == {"templates": 1}
    again = clients.producer.enrol(user, portraits.obama, subject_id="obama", consent=agreed())
    frame = clients.producer.frame(user, portraits.obama3, camera_id="door")
    clients.producer.flush()
    for name in sinks:
        stack.services.supervisor.restart(name)
    assert named(clients.answer(frame.event_id)) == ["obama"]
    assert clients.answer(again.event_id)["outcome"] == "enrolled"
    clients.row("matches", frame.event_id)
    clients.row("enrolments", again.event_id)
    # What comes later is seen later: then all that there will be is there.
    last = seen(clients, user, portraits.obama2)
    rows = clients.query("SELECT event_id FROM matches WHERE user_id = @user", user=user)
    assert {row["event_id"] for row in rows} == {frame.event_id, last["event_id"]}
    assert clients.results.result(old["event_id"]) is None
    assert clients.results.enrolment(before) is None
    assert named(clients.answer(frame.event_id)) == ["obama"]
    clients.await_subjects(user, {"obama": 1})
