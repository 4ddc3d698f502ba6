"""Dead letters go back to where they came from, at most once, whoever is killed or runs at the same time."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator

import confluent_kafka
import pytest

from schemas import codec
from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter, Header
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from streams.dead_letters.redrive import Redrive, RedriveFilter
from streams.dead_letters.store import DeadLetterRecord, DeadLetterStatus, read_newest_records, read_records
from streams.kafka.connection import client_config
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.settings import Settings
from tests.integration.clients import Clients, eventually
from tests.streams.replay.conftest import Run
from tests.streams.replay.test_replays import picture


def put_letters(settings: Settings, count: int, topic: str, value: bytes, reason: str = "failed") -> list[DeadLetter]:
    """Letters of a stage that no worker has, so that only the test makes them."""
    producer = confluent_kafka.Producer(client_config(settings))
    letters = []
    for number in range(count):
        key = f"user-{uuid.uuid4().hex[:8]}".encode()
        letter = DeadLetter(
            letter_id=new_event_id(),
            stage="test",
            topic=topic,
            partition=number % 3,
            offset=number,
            key=key,
            value=value + b" %d" % number,
            headers=[Header("trace", b"\x01"), Header("trace", None)],
            reason=reason,
            error_class="Mended",
            message="it was a defect",
            attempt=3,
            failed_at=utc_now(),
        )
        producer.produce(Topic.DEAD_LETTERS.named(settings), codec.encode(letter), key, number % 3)
        letters.append(letter)
    assert producer.flush(30) == 0
    return letters


@pytest.fixture
def target(clients: Clients) -> Iterator[str]:
    """A topic that no worker reads, to see what is sent to it."""
    yield Topic.REPLAYS.named(clients.settings)


def sent_to(settings: Settings, letters: list[DeadLetter]) -> Counter[bytes]:
    """How often the message of each letter is on the topic ``replays``, by its value."""
    values = {letter.value for letter in letters}
    return Counter(
        value for message in read_topic(settings, Topic.REPLAYS) if (value := message.value) in values and value
    )


def standings(settings: Settings, letters: list[DeadLetter]) -> Counter[DeadLetterStatus]:
    ids = {letter.letter_id for letter in letters}
    return Counter(one.standing for one in read_records(settings) if one.letter.letter_id in ids)


def ids_of(letters: list[DeadLetter]) -> list[str]:
    return [letter.letter_id for letter in letters]


def test_after_a_fix_each_goes_back_once(facestream: Run, clients: Clients, target: str) -> None:
    letters = put_letters(clients.settings, 120, target, b"once")
    ended = facestream("replay", "dead-letters", "--stage", "test", "--reason", "failed", "--dry-run", "--json")
    assert (ended.json["letters"], ended.json["sent"]) == (120, 0)
    assert standings(clients.settings, letters) == {DeadLetterStatus.OPEN: 120}

    ended = facestream("replay", "dead-letters", "--stage", "test", "--json", "--rate", "10000")
    assert ended.code == 0, ended.err
    assert (ended.json["letters"], ended.json["sent"]) == (120, 120)
    messages = {message.value: message for message in read_topic(clients.settings, Topic.REPLAYS)}
    for letter in letters:
        message = messages[letter.value]
        assert message.key == letter.key
        assert message.headers == (("trace", b"\x01"), ("trace", None))
    assert standings(clients.settings, letters) == {DeadLetterStatus.SENT: 120}

    again = facestream("replay", "dead-letters", "--stage", "test", "--retry", "--json")
    assert (again.code, again.json["letters"], again.json["sent"]) == (0, 0, 0)
    assert set(sent_to(clients.settings, letters).values()) == {1}

    (group,) = [one for one in facestream("dead-letters", "list", "--json").json["groups"] if one["stage"] == "test"]
    assert (group["open"], group["sending"], group["sent"]) == (0, 0, 120)
    shown = facestream("dead-letters", "show", letters[7].letter_id, "--json").json
    assert (shown["standing"], shown["resolution"]["replay_id"]) == ("sent", ended.json["replay_id"])
    wanted = ",".join(ids_of(letters))
    sql = "SELECT state, replay_id, sent_offset FROM dead_letter_states WHERE letter_id IN UNNEST(SPLIT(@ids))"

    def resolved() -> list[dict[str, object]] | None:
        rows = clients.query(sql, ids=wanted)
        return rows if len(rows) == 120 and all(row["state"] == "sent" for row in rows) else None

    rows = eventually(resolved, "BigQuery shows that they were sent back")
    assert all(row["replay_id"] == ended.json["replay_id"] and row["sent_offset"] is not None for row in rows)


def test_a_message_of_which_the_worker_knew_nothing_is_processed_live(facestream: Run, clients: Clients) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    good = clients.producer.frame(user, picture(user), camera_id="door")
    assert clients.answer(good.event_id)
    delivered = good.result(10)
    (message,) = [
        one
        for one in read_topic(clients.settings, Topic.FRAMES)
        if (one.source.partition, one.offset) == (delivered.partition, delivered.offset)
    ]
    # The same event under another id, given up by a release with a defect.
    value, event_id = message.value or b"", new_event_id()
    lost = value.replace(good.event_id.encode(), event_id.encode())
    letter = DeadLetter(
        *(
            new_event_id(),
            "embed",
            Topic.FRAMES.named(clients.settings),
            delivered.partition,
            0,
            user.encode(),
            lost,
            [],
        ),
        *("failed", "KeyError", "a defect", 3, utc_now()),
    )
    producer = confluent_kafka.Producer(client_config(clients.settings))
    producer.produce(Topic.DEAD_LETTERS.named(clients.settings), codec.encode(letter), letter.key, letter.partition)
    producer.flush(10)
    ended = facestream("replay", "dead-letters", "--letter", letter.letter_id[:20], "--json")
    assert (ended.json["sent"], ended.json["succeeded"], ended.json["failed_again"]) == (1, 1, 0), ended.err
    assert "1 message sent back: 1 succeeded\n" in ended.err
    answer = clients.answer(event_id)
    assert (answer["user_id"], answer["replay_id"]) == (user, None)


def test_killed_before_it_was_known_to_be_sent(
    facestream: Run, clients: Clients, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = put_letters(clients.settings, 4, target, b"killed")
    wanted = RedriveFilter(letter_ids=ids_of(letters))

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    for what, sent in (("_produce", 0), ("_note_sent", 2)):
        some = letters[:2] if what == "_produce" else letters[2:]
        with monkeypatch.context() as patch:
            patch.setattr(Redrive, what, die)
            with pytest.raises(Killed):
                list(Redrive(clients.settings, what).run(RedriveFilter(letter_ids=ids_of(some))))
        assert sent_to(clients.settings, some).total() == sent
        assert standings(clients.settings, some) == {DeadLetterStatus.SENDING: 2}

    untouched = Redrive(clients.settings, "again")
    list(untouched.run(wanted))
    assert untouched.tally.sent == 0
    listed = facestream("dead-letters", "list", "--json")
    assert sum(group["sending"] for group in listed.json["groups"]) == 4
    assert "4 may or may not have been sent back" in listed.err
    warned = facestream("replay", "dead-letters", "--stage", "test", "--json")
    assert (warned.json["letters"], warned.json["sent"]) == (0, 0)
    assert "see --retry" in warned.err

    retried = facestream("replay", "dead-letters", "--stage", "test", "--retry", "--json")
    assert retried.json["sent"] == 4, retried.err
    assert standings(clients.settings, letters) == {DeadLetterStatus.SENT: 4}
    assert sent_to(clients.settings, letters[:2]).total() == 2


def test_two_replays_at_the_same_time(clients: Clients, target: str) -> None:
    letters = put_letters(clients.settings, 200, target, b"race")
    runs = [Redrive(clients.settings, f"race-{number}") for number in range(3)]
    wanted = RedriveFilter(letter_ids=ids_of(letters))
    threads = [threading.Thread(target=lambda run=run: list(run.run(wanted))) for run in runs]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sum(run.tally.sent for run in runs) == 200
    assert set(sent_to(clients.settings, letters).values()) == {1}
    assert standings(clients.settings, letters) == {DeadLetterStatus.SENT: 200}


def test_a_letter_of_somebody_who_has_been_erased_is_left(clients: Clients, target: str) -> None:
    gone, stays = put_letters(clients.settings, 2, target, b"whose?")
    assert gone.key is not None
    erasure = Erasure(new_event_id(), gone.key.decode(), utc_now())
    clients.put(Topic.ERASURES, codec.encode(erasure), gone.key)
    wanted = RedriveFilter(letter_ids=ids_of([gone, stays]))
    *_, tally = Redrive(clients.settings, "r1").run(wanted)
    assert (tally.sent, tally.left) == (1, 1)
    assert "has been erased" in tally.problems[0]
    assert sent_to(clients.settings, [gone, stays]) == {stays.value: 1}


def test_a_letter_whose_topic_is_gone_is_left(facestream: Run, clients: Clients) -> None:
    (letter,) = put_letters(clients.settings, 1, "no-such-topic", b"gone")
    ended = facestream("replay", "dead-letters", "--letter", letter.letter_id, "--json")
    assert (ended.code, ended.json["sent"], ended.json["left"]) == (1, 0, 1)
    assert "topic no-such-topic is not there" in ended.err
    assert standings(clients.settings, [letter]) == {DeadLetterStatus.OPEN: 1}


def test_what_is_sent_back_and_fails_again_is_a_new_letter(facestream: Run, clients: Clients) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    clients.put(Topic.UPLOADS, b"rubbish", user)

    def letters_of() -> list[DeadLetterRecord]:
        return [one for one in read_records(clients.settings) if one.letter.key == user.encode()]

    (first,) = eventually(letters_of, "a letter")
    assert first.letter.value == b"rubbish"
    ended = facestream("replay", "dead-letters", "--letter", first.letter.letter_id, "--json")
    assert ended.code == 1, ended.err
    assert [ended.json[one] for one in ("sent", "succeeded", "failed_again", "no_outcome")] == [1, 0, 1, 0]
    assert ended.json["failed_again_reasons"] == {"not_an_event": 1}
    assert "1 message sent back: 1 failed again (not_an_event)\n" in ended.err
    both = eventually(lambda: found if len(found := letters_of()) == 2 else None, "another letter")
    assert Counter(one.standing for one in both) == {DeadLetterStatus.SENT: 1, DeadLetterStatus.OPEN: 1}


def test_what_was_dismissed_is_not_open_and_never_goes_back(facestream: Run, clients: Clients, target: str) -> None:
    letters = put_letters(clients.settings, 3, target, b"dismissed", "no_key")
    wanted = ids_of(letters)
    assert facestream("dead-letters", "dismiss", wanted[0]).code == 2
    assert facestream("dead-letters", "dismiss", "--because", "all of them?").code == 2
    planned = facestream("dead-letters", "dismiss", *wanted, "--because", "a test", "--dry-run", "--json")
    assert (planned.json["dismissed"], planned.json["reasons"]) == (3, {"no_key": 3})
    assert standings(clients.settings, letters) == {DeadLetterStatus.OPEN: 3}

    ended = facestream("dead-letters", "dismiss", wanted[0][:23], "--because", "a test", "--json")
    assert (ended.code, ended.json["dismissed"]) == (0, 1), ended.err
    by_filter = ("--reason", "no_key", "--stage", "test", "--topic", "replays")
    ended = facestream("dead-letters", "dismiss", *by_filter, "--because", "another", "--json")
    assert (ended.json["dismissed"], ended.json["dismissed_before"]) == (2, 1)
    again = facestream("dead-letters", "dismiss", *wanted, "--because", "again", "--json")
    assert (again.json["dismissed"], again.json["dismissed_before"]) == (0, 3)
    assert standings(clients.settings, letters) == {DeadLetterStatus.DISMISSED: 3}

    sent = facestream("replay", "dead-letters", *by_filter[:4], "--retry", "--json")
    assert (sent.json["letters"], sent.json["sent"], sent.json["standing"]["dismissed"]) == (0, 0, 3)
    assert "no such dead letter is open: 3 have been dismissed" in sent.err
    assert sent_to(clients.settings, letters).total() == 0
    listed = facestream("dead-letters", "list", "--reason", "no_key", "--json").json
    assert (listed["dismissed"], [one for one in listed["groups"] if one["stage"] == "test"]) == (3, [])
    listed = facestream("dead-letters", "list", "--reason", "no_key", "--all", "--json").json
    (group,) = [one for one in listed["groups"] if one["stage"] == "test"]
    assert (group["open"], group["dismissed"]) == (0, 3)
    reasons = {one["because"]: one["count"] for one in listed["dismissals"]}
    assert reasons == {"a test": 1, "another": 2}
    shown = facestream("dead-letters", "show", wanted[0], "--json").json
    assert (shown["standing"], shown["resolution"]["because"]) == ("dismissed", "a test")
    assert read_newest_records(clients.settings, 20_000, 30.0).standings[DeadLetterStatus.DISMISSED] == 3

    sql = "SELECT state, dismissed_because FROM dead_letter_states WHERE letter_id IN UNNEST(SPLIT(@ids))"

    def resolved() -> bool:
        rows = clients.query(sql, ids=",".join(wanted))
        return Counter((row["state"], row["dismissed_because"]) for row in rows) == {
            ("dismissed", "a test"): 1,
            ("dismissed", "another"): 2,
        }

    eventually(resolved, "BigQuery shows that they were dismissed")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--reason", "bad_luck"), "there is no reason bad_luck"), (("--letter", "zz"), "there is no dead letter zz")],
)
def test_what_cannot_be_sent_back(arguments: tuple[str, ...], said: str, facestream: Run) -> None:
    ended = facestream("replay", "dead-letters", *arguments)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert said in ended.err
