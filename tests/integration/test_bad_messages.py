"""Messages that are no events: each is in ``dead-letters`` as it was, with the reason, and its neighbours go on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

import confluent_kafka
import pytest
from confluent_kafka import KafkaError

from schemas import codec
from schemas.clock import utc_now
from schemas.embeddings import Embedding, FrameOrigin
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Mode, Picture, Upload
from schemas.parts import Source
from streams.client.delivery_report import Delivered
from streams.kafka.topics import Topic
from tests.integration.clients import Clients, named
from tests.integration.conftest import Portraits
from tests.sinks.examples import timings

Raw = tuple[bytes | None, bytes | str | None]
"""Value and key."""


def event(topic: Topic, user: str) -> Upload | Frame:
    now, picture = utc_now(), Picture(b"not looked at")
    if topic is Topic.UPLOADS:
        return Upload(new_event_id(), user, user, now, picture, Consent("tests", now))
    return Frame(new_event_id(), user, "door", 0, now, picture)


def other(topic: Topic) -> Topic:
    return Topic.FRAMES if topic is Topic.UPLOADS else Topic.UPLOADS


def stranger_id(topic: Topic, user: str) -> bytes:
    """An event whose id is no UUID."""
    whole = event(topic, user)
    return codec.encode(whole).replace(whole.event_id.encode(), b"x" * 36)


def hidden(topic: Topic, user: str) -> Raw:
    """An event of a user whose name only looks like this one's."""
    return codec.encode(event(topic, f"{user}\u200b")), f"{user}\u200b"


KINDS: dict[str, tuple[str, Callable[[Topic, str], Raw]]] = {
    "no value": ("not_an_event", lambda topic, user: (None, user)),
    "an empty value": ("not_an_event", lambda topic, user: (b"", user)),
    "JSON": ("not_an_event", lambda topic, user: (b'{"user_id": "somebody"}', user)),
    "an unknown fingerprint": ("unknown_schema", lambda topic, user: (b"\xc3\x01unknown!" + bytes(200), user)),
    "another kind of event": ("unknown_schema", lambda topic, user: (codec.encode(event(other(topic), user)), user)),
    "a body that is too short": ("malformed_event", lambda topic, user: (codec.encode(event(topic, user))[:-4], user)),
    "a body that is too long": ("malformed_event", lambda topic, user: (codec.encode(event(topic, user)) + b"x", user)),
    "an id that is no UUID": ("malformed_event", lambda topic, user: (stranger_id(topic, user), user)),
    "no key": ("no_key", lambda topic, user: (codec.encode(event(topic, user)), None)),
    "an empty key": ("no_key", lambda topic, user: (codec.encode(event(topic, "")), b"")),
    "a character that nobody sees": ("invalid_id", hidden),
    "another user's key": ("key_mismatch", lambda topic, user: (codec.encode(event(topic, f"not-{user}")), user)),
}


def test_messages_that_are_no_events(clients: Clients, host: str, portraits: Portraits) -> None:
    """All of them together, since each alone would wait as long for its rows."""
    before = clients.producer.frame(host, portraits.obama2, camera_id="door")
    partition = before.result(30).partition
    sent = {
        clients.put(topic, *message, partition=partition): (kind, reason, message)
        for kind, (reason, make) in KINDS.items()
        for topic in (Topic.UPLOADS, Topic.FRAMES)
        for message in [make(topic, host)]
    }
    after = clients.producer.frame(host, portraits.obama2, camera_id="door")
    assert after.result(30).partition == partition
    answers = clients.answers([before.event_id, after.event_id])
    assert [named(answer) for answer in answers.values()] == [["obama"], ["obama"]]

    letters = clients.letters(sent)
    rows = clients.rows("dead_letters", [letter.letter_id for letter in letters.values()])
    for at, (kind, reason, (value, key)) in sent.items():
        letter = letters[at]
        assert (letter.stage, letter.reason) == ("embed", reason), kind
        assert letter.message, kind
        assert (letter.value, letter.key) == (value, key.encode() if isinstance(key, str) else key)
        row = rows[letter.letter_id]
        assert (row["reason"], row["message"], row["stage"]) == (reason, letter.message, "embed")
        assert (row["source_topic"], row["source_partition"], row["source_offset"]) == (
            *(at.topic, at.partition),
            at.offset,
        )
        assert row["value_bytes"] == (None if value is None else len(value))


def test_a_time_that_no_calendar_has(clients: Clients, host: str) -> None:
    last_day = datetime(9999, 12, 31, tzinfo=UTC)
    whole = Frame(new_event_id(), host, "door", 0, last_day, Picture(b"not looked at"))
    latest = int(last_day.timestamp()) * 1_000_000
    value = codec.encode(whole).replace(zigzag(latest), zigzag(50 * latest))
    (letter,) = clients.letters([clients.put(Topic.FRAMES, value, host)]).values()
    assert letter.reason == "malformed_event"


def zigzag(number: int) -> bytes:
    """A positive long as Avro writes it."""
    rest, groups = number << 1, []
    while rest > 0x7F:
        groups.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*groups, rest])


def test_further_down(clients: Clients, host: str, portraits: Portraits) -> None:
    """On the topics between the stages nobody but facestream writes; if somebody does, every reader says so."""
    sent = clients.producer.frame(host, portraits.obama2, camera_id="door")
    partition = sent.result(30).partition
    readers = {
        Topic.EMBEDDINGS: {"match"},
        Topic.MATCHES: {"sink-redis", "sink-bigquery"},
        Topic.ENROLMENTS: {"sink-redis", "sink-bigquery"},
        Topic.DEAD_LETTERS: {"sink-bigquery"},
    }
    places = {topic: clients.put(topic, b"rubbish", host, partition) for topic in readers}
    for topic, stages in readers.items():
        letters = clients.letters_of(places[topic], len(stages))
        assert {letter.stage for letter in letters} == stages
        assert {letter.reason for letter in letters} == {"not_an_event"}
    after = clients.producer.frame(host, portraits.obama2, camera_id="door")
    assert named(clients.answer(after.event_id)) == ["obama"]
    assert clients.row("matches", after.event_id)


def test_the_largest_message_is_kept_whole(clients: Clients, host: str) -> None:
    largest = bytes(clients.settings.max_message_bytes - 1_000)
    (letter,) = clients.letters([clients.put(Topic.FRAMES, largest, host)]).values()
    assert letter.reason == "not_an_event"
    assert letter.value == largest
    assert clients.row("dead_letters", letter.letter_id)["value_bytes"] == len(largest)
    # A larger one Kafka does not take, and says so.
    with pytest.raises(confluent_kafka.KafkaException) as refused:
        clients.put(Topic.FRAMES, largest + bytes(2_000), host)
    assert refused.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_bad_messages_do_not_delay_good_ones(clients: Clients, host: str, portraits: Portraits) -> None:
    first = clients.producer.frame(host, portraits.obama2, camera_id="door")
    partition = first.result(30).partition
    good, bad = [first.event_id], list[Delivered]()
    for _, make in itertools.chain.from_iterable(itertools.repeat(list(KINDS.values()), 3)):
        bad.append(clients.put(Topic.FRAMES, *make(Topic.FRAMES, host), partition=partition))
        bad.append(clients.put(Topic.UPLOADS, *make(Topic.UPLOADS, host), partition=partition))
        good.append(clients.producer.frame(host, portraits.obama2, camera_id="door").event_id)
    answers = clients.answers(good)  # of those behind many bad ones too, which would not be there in time
    assert all(named(answer) == ["obama"] for answer in answers.values())
    assert len(clients.letters(bad)) == len(bad)


@pytest.mark.parametrize(
    "kind", ["no key", "another user's key", "a character that nobody sees", "a body that is too short"]
)
def test_who_asked_gets_a_refusal_once(kind: str, clients: Clients, user: str) -> None:
    reason, make = KINDS[kind]
    for topic, table in ((Topic.UPLOADS, "enrolments"), (Topic.FRAMES, "matches")):
        value, key = make(topic, user)
        event_id = codec.event_id(value)
        assert event_id is not None
        places = [clients.put(topic, value, key) for _ in range(2)]
        answer = clients.answer(event_id)
        assert (answer["refusal"]["reason"], answer["event_id"]) == (reason, event_id)
        assert len(clients.letters(places)) == 2
        row = clients.row(table, event_id)
        assert row["refusal_reason"] == reason


def test_vectors_of_the_fake_that_load_tests_use_are_unknown_here(clients: Clients, user: str) -> None:
    origin = FrameOrigin("door", 0, utc_now(), Mode.IDENTIFY, None)
    fake = Embedding(new_event_id(), user, origin, Source("frames", 0, 0), "digest", 1, 1, timings())
    place = clients.put(Topic.EMBEDDINGS, codec.encode(fake), user)
    assert clients.letters([place])[place].reason == "unknown_model"
