"""The real client and the fake keep one contract; the installed one serves an application with packages of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from schemas.clock import utc_now
from schemas.codec import encode
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Mode, Picture, Upload
from schemas.parts import Decision
from schemas.reasons import Reason
from schemas.results import Enrolment, Match, Outcome
from streams.client import aio
from streams.client.base import BaseClient
from streams.client.client import Client
from streams.client.errors import (
    AnswerTimeout,
    ClientClosed,
    DeadLettered,
    FacestreamError,
    InvalidEvent,
    InvalidId,
    InvalidPicture,
    NotAPicture,
    ResultsUnavailable,
)
from streams.client.settings import ClientSettings
from streams.client.testing import NO_ANSWER, FakeClient
from streams.devtools.local_stack import Stack
from streams.kafka.topics import Topic
from tests.docs.test_client import PROGRAMS
from tests.integration.clients import Clients, new_user
from tests.integration.conftest import Portraits

APPLICATION = """
import asyncio, json, sys
from pathlib import Path

import models, schemas
from facestream import AnswerTimeout, Client, FacestreamError, MissingExtra, aio, encode_array

user, photo, frame, stranger = sys.argv[1], *map(Path, sys.argv[2:])
with Client() as client:
    outcome = client.ask(user, photo, consent="tests", subject_id="obama")
    match = client.ask(user, frame, camera_id="front-door")
    sent = client.frame(user, stranger.read_bytes(), camera_id="front-door")
    other = client.answer(sent, timeout_s=30)
    try:
        client.ask(user, photo, camera_id="front-door", timeout_s=0.001)
    except FacestreamError as error:
        late = type(error).__name__

async def ask_at_once() -> list[str]:
    async with aio.Client() as client:
        asked = [client.ask(user, frame, camera_id=f"camera-{number}") for number in range(5)]
        return [match.faces[0].subject_id for match in await asyncio.gather(*asked)]

class Array:
    shape, dtype, ndim = (2, 2, 3), "uint8", 3

try:
    encode_array(Array(), order="bgr")
except MissingExtra as error:
    missing = str(error)

print(json.dumps({
    "own": [models.OWN, schemas.OWN],
    "outcome": outcome.outcome, "subject": outcome.subject_id, "templates": outcome.templates,
    "faces": [[face.decision, face.subject_id] for face in match.faces],
    "other": [face.decision for face in other.faces],
    "at_once": asyncio.run(ask_at_once()),
    "late": late, "missing": missing,
}))
"""


def test_an_application_with_packages_of_its_own(
    python: Path, stack: Stack, portraits: Portraits, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("OWN = 'my models'")
    (tmp_path / "schemas.py").write_text("OWN = 'my schemas'")
    (tmp_path / "app.py").write_text(APPLICATION)
    for name in ("obama", "obama2", "biden"):
        (tmp_path / f"{name}.jpg").write_bytes(getattr(portraits, name))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FACESTREAM_", "PYTHON"))}
    ended = subprocess.run(
        [python, "app.py", new_user("app"), "obama.jpg", "obama2.jpg", "biden.jpg"],
        env=environment | stack.environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told.pop("missing").endswith("install facestream-client[arrays]")
    assert told == {
        "own": ["my models", "my schemas"],
        "outcome": "enrolled",
        "subject": "obama",
        "templates": 1,
        "faces": [["match", "obama"]],
        "other": ["unknown"],
        "at_once": ["obama"] * 5,
        "late": "AnswerTimeout",
    }


def test_the_first_program_of_the_guide(python: Path, stack: Stack, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to(photos)
    program = PROGRAMS[0].replace('"anna"', repr(new_user("guide")))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FACESTREAM_", "PYTHON"))}
    command: list[str | Path] = [python, "-c", program]
    told = subprocess.check_output(command, env=environment | stack.environment(), cwd=tmp_path, text=True, timeout=120)
    enrolled, recognised = told.splitlines()
    assert enrolled == "enrolled 1"
    assert recognised.startswith("obama 0.")


# --- the contract ---------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """A client, and how to keep it from answering."""

    client: BaseClient
    silence: Callable[[], float]
    """Have no question answered; gives the time for which to ask."""


@pytest.fixture(scope="module")
def real(stack: Stack) -> Iterator[Client]:
    with Client(stack.settings) as client:
        yield client


@pytest.fixture(params=["real", "fake"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    if request.param == "real":
        yield Case(request.getfixturevalue("real"), lambda: 0.0)
        return
    with FakeClient() as fake:

        def silence() -> float:
            fake.script = lambda _: NO_ANSWER
            return 30.0

        yield Case(fake, silence)


@pytest.fixture
def client(case: Case) -> BaseClient:
    return case.client


def test_who_is_enrolled_is_recognised(client: BaseClient, portraits: Portraits, user: str) -> None:
    outcome = client.ask(user, portraits.obama, consent="tests", subject_id="obama")
    assert isinstance(outcome, Enrolment)
    assert (outcome.outcome, outcome.user_id, outcome.subject_id) == (Outcome.ENROLLED, user, "obama")
    assert (outcome.templates, outcome.refusal, outcome.repeats) == (1, None, None)
    before = utc_now()
    match = client.ask(user, portraits.obama, camera_id="door", sequence=7)
    assert isinstance(match, Match)
    assert (match.user_id, match.camera_id, match.sequence, match.mode) == (user, "door", 7, Mode.IDENTIFY)
    (face,) = match.faces
    assert (face.decision, face.subject_id, face.candidates[0].subject_id) == (Decision.MATCH, "obama", "obama")
    assert match.matched_at >= match.captured_at >= before
    (stranger,) = client.ask(user, portraits.biden, camera_id="door").faces
    assert (stranger.decision, stranger.subject_id) == (Decision.UNKNOWN, None)


def test_a_claim_is_verified(client: BaseClient, portraits: Portraits, user: str) -> None:
    client.ask(user, portraits.obama, consent="tests", subject_id="obama")
    client.ask(user, portraits.biden, consent="tests", subject_id="biden")
    claims = {
        claimed: client.ask(user, portraits.biden, camera_id="door", mode=Mode.VERIFY, subject_id=claimed)
        for claimed in ("obama", "biden")
    }
    assert {claimed: match.faces[0].decision for claimed, match in claims.items()} == {
        "obama": Decision.NO_MATCH,
        "biden": Decision.MATCH,
    }


def test_a_refusal_is_an_answer(client: BaseClient, user: str) -> None:
    # Events of one's own: what enrol and frame are given is looked at before it is sent.
    no_picture = Picture(b"this is no picture at all")
    upload = Upload(new_event_id(), user, user, utc_now(), no_picture, Consent("tests", utc_now()))
    outcome = client.answer(client.send(upload), timeout_s=60)
    assert isinstance(outcome, Enrolment)
    assert outcome.outcome is Outcome.REFUSED
    assert outcome.refusal is not None
    assert outcome.refusal.reason == Reason.UNDECODABLE
    match = client.answer(client.send(Frame(new_event_id(), user, "door", 0, utc_now(), no_picture)), timeout_s=60)
    assert isinstance(match, Match)
    assert match.refusal is not None
    assert (match.refusal.reason, match.faces) == (Reason.UNDECODABLE, [])


def test_an_event_sent_twice_has_one_answer(client: BaseClient, portraits: Portraits, user: str) -> None:
    event_id = new_event_id()
    first = client.ask(user, portraits.obama, consent="tests", event_id=event_id.upper())
    assert client.ask(user, portraits.obama, consent="tests", event_id=event_id) == first
    assert client.answer(event_id) == first
    again = client.ask(user, portraits.obama, consent="tests")
    assert (again.templates, again.repeats) == (1, event_id)


def test_what_was_sent_is_asked_about_later(client: BaseClient, portraits: Portraits, user: str) -> None:
    photo = client.enrol(user, portraits.obama, consent="tests")
    frame = client.frame(user, portraits.obama, camera_id="door")
    assert frame.result(30).topic.endswith("frames")
    assert client.answer(frame).event_id == frame.event_id
    assert client.answer(photo.event_id).event_id == photo.event_id
    futures = [client.answer_future(one) for one in (photo, frame)]
    assert [future.result(30).event_id for future in futures] == [photo.event_id, frame.event_id]
    client.flush(30)


def test_latest_subjects_and_live_answers(client: BaseClient, portraits: Portraits) -> None:
    user = new_user("Zo\u00eb")
    assert client.latest(user, "door") is None
    assert client.subjects(user) == {}
    outcome = client.ask(user, portraits.obama, consent="tests", subject_id="obama")
    match = client.ask(user, portraits.obama, camera_id="door")
    decomposed = unicodedata.normalize("NFD", user)
    deadline = time.monotonic() + 30
    while (client.latest(decomposed, "door"), client.subjects(decomposed)) != (match, {"obama": 1}):
        assert time.monotonic() < deadline
    assert list(client.follow(decomposed, kept=True, timeout_s=0.2)) == [outcome, match]


def test_no_answer_in_time(case: Case, portraits: Portraits, user: str) -> None:
    event_id, timeout_s = new_event_id(), case.silence()
    with pytest.raises(AnswerTimeout, match=event_id) as raised:
        case.client.ask(user, portraits.obama, camera_id="door", event_id=event_id, timeout_s=max(timeout_s, 0.0005))
    assert raised.value.event_id == event_id
    assert isinstance(raised.value, TimeoutError)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"user_id": "", "camera_id": "door"}, InvalidId),
        ({"user_id": "an\u200bna", "camera_id": "door"}, InvalidId),
        ({"camera_id": "door", "event_id": "1"}, InvalidId),
        ({"camera_id": "door", "subject_id": "otto"}, InvalidEvent),
        ({"camera_id": "door", "picture": b""}, InvalidPicture),
        ({"camera_id": "door", "picture": [1, 2]}, NotAPicture),
        ({"camera_id": "door", "picture": b"hello"}, InvalidPicture),
        ({"consent": ""}, InvalidEvent),
        ({"consent": "tests", "camera_id": "door"}, InvalidEvent),
        ({"consent": "tests", "sequence": 1}, InvalidEvent),
        ({}, InvalidEvent),
    ],
)
def test_a_wrong_argument_is_named(client: BaseClient, arguments: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(FacestreamError) as raised:
        client.ask(**({"user_id": "anna", "picture": b"GIF89a"} | arguments))  # type: ignore[call-overload]
    assert type(raised.value) is error
    assert isinstance(raised.value, ValueError)


def test_asyncio(client: BaseClient, portraits: Portraits, user: str) -> None:
    async def asked() -> None:
        # The client of the fixture stays open.
        asking = aio.Client(client=client)
        outcome = await asking.ask(user, portraits.obama, consent="tests", subject_id="obama")
        assert outcome.outcome is Outcome.ENROLLED
        matches = await asyncio.gather(
            *(asking.ask(user, portraits.obama, camera_id=f"camera-{number}") for number in range(4))
        )
        assert [match.faces[0].subject_id for match in matches] == ["obama"] * 4
        handle = await asking.frame(user, portraits.biden, camera_id="door")
        assert (await handle).offset >= 0
        answer = await asking.answer(handle)
        assert answer.event_id == handle.event_id
        assert await asking.subjects(user) == {"obama": 1}
        live = [answer.event_id async for answer in asking.follow(user, kept=True, timeout_s=0.2)]
        assert len(live) == 6
        assert live[0] == outcome.event_id
        assert await asking.latest(user, "door") == answer

    asyncio.run(asked())


def test_asyncio_without_an_answer(case: Case, portraits: Portraits, user: str) -> None:
    timeout_s = max(case.silence(), 0.0005)

    async def asked() -> None:
        await aio.Client(client=case.client).ask(user, portraits.obama, camera_id="door", timeout_s=timeout_s)

    with pytest.raises(AnswerTimeout):
        asyncio.run(asked())


def test_closed_is_closed(stack: Stack, portraits: Portraits, user: str) -> None:
    for client in (Client(stack.settings), FakeClient()):
        client.close()
        client.close()
        with pytest.raises(ClientClosed):
            client.ask(user, portraits.obama, camera_id="door")
        with pytest.raises(ClientClosed):
            client.answer(new_event_id())


# --- what only the real one can show --------------------------------------------------------------------------------


def test_a_dead_letter_ends_the_question(clients: Clients, real: Client, portraits: Portraits, user: str) -> None:
    frame = Frame(new_event_id(), user, "door", 0, utc_now(), Picture(portraits.obama))
    of_a_later_release = encode(frame)[:2] + b"unknown!" + encode(frame)[10:]
    clients.put(Topic.FRAMES, of_a_later_release, user)
    with pytest.raises(DeadLettered, match=frame.event_id) as raised:
        real.answer(frame.event_id, timeout_s=60)
    assert raised.value.reason == Reason.UNKNOWN_SCHEMA
    assert (raised.value.letter.stage, raised.value.letter.value) == ("embed", of_a_later_release)


def test_an_event_that_can_never_be_processed_is_answered(
    clients: Clients, real: Client, portraits: Portraits, user: str
) -> None:
    frame = Frame(new_event_id(), user, "door", 0, utc_now(), Picture(portraits.obama))
    clients.put(Topic.FRAMES, encode(frame), f"not-{user}")
    answer = real.answer(frame.event_id, timeout_s=60)
    assert answer.refusal is not None
    assert answer.refusal.reason == Reason.KEY_MISMATCH


def test_a_client_that_is_closed_tells_whoever_waits(stack: Stack) -> None:
    client = Client(stack.settings)
    waiting = client.answer_future(new_event_id())
    client.close()
    with pytest.raises(ClientClosed):
        waiting.result(10)


def test_redis_that_is_away_is_told_at_the_end_of_the_time(stack: Stack, portraits: Portraits, user: str) -> None:
    there = stack.settings
    nowhere = ClientSettings(kafka=there.kafka, topic_prefix=there.topic_prefix, redis_url="redis://127.0.0.1:1/0")
    with Client(nowhere) as client, pytest.raises(ResultsUnavailable, match="Redis"):
        client.ask(user, portraits.obama, camera_id="door", timeout_s=1)
