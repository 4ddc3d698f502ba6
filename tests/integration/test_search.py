"""Searches over all users: exact, complete, allowed, and without whoever was erased."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Consent, Mode
from schemas.reasons import Reason
from streams.devtools.local_stack import Stack
from streams.operations.erase import erase
from streams.operations.erasure_preview import preview_erasure
from streams.roles import Embedder, Role, running_roles
from tests.integration.clients import Clients, Json, eventually, facestream
from tests.prepared_tables import with_tables

SHARDS = 4
DEADLINE_S = 3.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two match workers, whose vectors come from the bytes of the pictures; searches are allowed."""
    changes = {"partitions": SHARDS, "search_purposes": ["search"], "search_deadline_s": DEADLINE_S}
    with Stack(with_tables(tmp_path_factory.mktemp("stack")), print, **changes) as running:
        running.add_workers(Embedder.DIGEST, running_roles(["search"]))
        running.add_worker(Role.MATCH, "--embedder", "digest")
        running.await_owners([Role.MATCH, Role.SEARCH])
        yield running


@pytest.fixture(scope="module")
def clients(stack: Stack) -> Iterator[Clients]:
    opened = Clients(stack.settings)
    yield opened
    opened.close()


def picture(of: str) -> bytes:
    return of.encode() * 100


def enrolled(clients: Clients, people: Sequence[tuple[str, str]], of: str, purpose: str = "search") -> None:
    """Enrol a person under these users and subjects."""
    sent = [
        clients.producer.enrol(user, picture(of), consent=purpose, subject_id=subject).event_id
        for user, subject in people
    ]
    assert {one["outcome"] for one in clients.answers(sent).values()} == {"enrolled"}


def searched(clients: Clients, of: str, user: str = "police") -> Json:
    sent = clients.producer.frame(user, picture(of), camera_id="desk", mode=Mode.SEARCH)
    return clients.answer(sent.event_id)


def found(answer: Json) -> list[tuple[str, str]]:
    """The people whose template is of the same picture."""
    (face,) = answer["faces"]
    return [(one["user_id"], one["subject_id"]) for one in face["candidates"] if one["distance"] < 0.5]


def rows(clients: Clients, table: str, answer: Json) -> list[Json]:
    """The rows of an event that are there now."""
    return clients.query(f"SELECT * FROM {table} WHERE event_id = @event_id", event_id=answer["event_id"])


def test_a_person_is_found_in_all_shards(clients: Clients) -> None:
    people = [(f"user-{number}", "wanted") for number in range(3 * SHARDS)]
    enrolled(clients, people, "mallory")
    enrolled(clients, [("user-x", "other")], "somebody else")
    answer = searched(clients, "mallory")
    assert found(answer) == sorted(people)
    assert answer["search"]["shards"] == SHARDS and answer["search"]["answered"] == list(range(SHARDS))
    assert answer["search"]["templates"] >= 3 * SHARDS + 1
    (face,) = answer["faces"]
    assert (face["decision"], face["user_id"], face["subject_id"]) == ("match", "user-0", "wanted")
    assert face["ambiguous"]
    assert answer["mode"] == "search"


def test_who_has_not_consented_to_it_is_not_found(clients: Clients) -> None:
    enrolled(clients, [("ann", "yes")], "trent")
    enrolled(clients, [("bob", "no")], "trent", "recognition")
    soon = Consent("search", utc_now(), utc_now() + timedelta(seconds=3))
    sent = clients.producer.enrol("cid", picture("trent"), consent=soon, subject_id="until then")
    clients.answer(sent.event_id)
    assert found(searched(clients, "trent")) == [("ann", "yes"), ("cid", "until then")]
    eventually(lambda: found(searched(clients, "trent")) == [("ann", "yes")], "the consent has ended")


def test_an_answer_to_a_search_is_not_shown_live(clients: Clients) -> None:
    searched(clients, "nobody", "quiet")
    assert clients.results.latest("quiet", "desk") is None
    assert list(clients.results.follow("quiet", after="0", timeout_s=0.2)) == []


def test_bigquery_has_the_answer_once_and_its_view_of_frames_has_not(clients: Clients) -> None:
    enrolled(clients, [("ann", "listed")], "peggy")
    answer = searched(clients, "peggy")
    row = clients.row("matches", answer["event_id"])
    assert (row["mode"], row["search"]["answered"]) == ("search", list(range(SHARDS)))
    assert row["faces"][0]["candidates"][0]["user_id"] == "ann"
    assert rows(clients, "results", answer) == []


def test_an_erased_subject_is_in_no_answer(clients: Clients, stack: Stack) -> None:
    people = [("ann", "vera"), ("ben", "vera"), ("ben", "victor")]
    enrolled(clients, people, "victor")
    before = searched(clients, "victor", "asks")
    assert found(before) == people
    clients.row("matches", before["event_id"])
    preview = preview_erasure(stack.settings, "ben", "vera").would_remove
    receipt = erase(stack.settings, "ben", "vera")
    assert receipt.waiting_for == ()
    for role in (Role.SINK_REDIS, Role.SINK_BIGQUERY):
        assert receipt.removed[role]["searches"] == preview[role]["searches"] == 1
    left = [("ann", "vera"), ("ben", "victor")]
    assert found(clients.answer(before["event_id"])) == left
    (row,) = rows(clients, "matches", before)
    named = [(one["user_id"], one["subject_id"]) for one in row["faces"][0]["candidates"] if one["distance"] < 0.5]
    assert named == left
    assert found(searched(clients, "victor", "asks")) == left


def test_an_erased_user_is_in_no_answer(clients: Clients, stack: Stack) -> None:
    enrolled(clients, [("zara", "zoe"), ("zed", "zoe")], "zoe")
    of_others, own = searched(clients, "zoe", "asks"), searched(clients, "zoe", "zara")
    clients.rows("matches", [of_others["event_id"], own["event_id"]])
    receipt = erase(stack.settings, "zara")
    assert receipt.waiting_for == ()
    after = clients.answer(of_others["event_id"])
    assert found(after) == [("zed", "zoe")]
    assert (after["faces"][0]["decision"], after["faces"][0]["reason"]) == ("refused", Reason.ERASED)
    (row,) = rows(clients, "matches", of_others)
    assert (row["faces"][0]["decision"], row["faces"][0]["user_id"]) == ("refused", None)
    assert clients.results.result(own["event_id"]) is None
    assert rows(clients, "matches", own) == []


def test_a_repeated_search_is_answered_once(clients: Clients) -> None:
    event_id = new_event_id()
    for _ in range(3):
        clients.producer.frame("police", picture("x"), camera_id="desk", mode=Mode.SEARCH, event_id=event_id)
    clients.answer(event_id)
    last = searched(clients, "y")
    clients.rows("matches", [event_id, last["event_id"]])


def test_a_shard_that_does_not_answer_is_waited_for_and_then_told(clients: Clients, stack: Stack) -> None:
    """A match worker stands still for longer than the deadline, and too short for its shards to move."""
    enrolled(clients, [(f"walter-{number}", "found") for number in range(3 * SHARDS)], "walter")
    worker = stack.services.supervisor.running()["match-1"]
    os.killpg(worker, signal.SIGSTOP)
    try:
        began = time.monotonic()
        sent = [
            clients.producer.frame(f"asks-{number}", picture("walter"), camera_id="desk", mode=Mode.SEARCH).event_id
            for number in range(2 * SHARDS)
        ]
        eventually(lambda: clients.results.answers(sent), "whoever's shard goes on has an answer")
        assert time.monotonic() - began > DEADLINE_S
        time.sleep(0.7)  # the others of that worker
        early = clients.results.answers(sent)
    finally:
        os.killpg(worker, signal.SIGCONT)
    for answer in early.values():
        assert 0 < len(answer["search"]["answered"]) < SHARDS
        assert 0 < len(found(answer)) < 3 * SHARDS
    late = clients.answers(sent)
    assert all(len(late[name]["search"]["answered"]) == SHARDS for name in sent if name not in early)
    assert len(found(searched(clients, "walter"))) == 3 * SHARDS


def test_the_command_shows_who_was_found(clients: Clients, stack: Stack, tmp_path: Path) -> None:
    enrolled(clients, [("ann", "trudy"), ("bob", "trudy")], "trudy")
    photo = tmp_path / "trudy.jpg"
    photo.write_bytes(picture("trudy"))
    ended = facestream(stack.environment(), tmp_path, "search", photo, "--top", 1, "--json")
    answer = json.loads(ended.stdout.splitlines()[-1])
    assert answer["complete"] and found(answer) == [("ann", "trudy")]
    shown = facestream(stack.environment(), tmp_path, "search", photo).stdout
    assert "trudy" in shown and f"{SHARDS} of {SHARDS} shards" in shown
