"""The HTTP clients against a real gateway, which is killed meanwhile."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from infra.ports import free_ports
from schemas import codec
from schemas.access import Scope
from schemas.ids import InvalidId, new_event_id
from schemas.ingest import Mode
from schemas.parts import Decision
from schemas.reasons import Reason
from schemas.results import Enrolment, Match, Outcome
from sinks.redis.results import RedisResults
from streams.client import AsyncHttpClient, HttpClient
from streams.client.errors import AccessDenied, AnswerTimeout, GatewayError, InvalidEvent, InvalidPicture
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.settings import Settings
from tests.streams.gateway.conftest import MakeKey
from tests.streams.gateway.test_process import gateway
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("workers")
JPEG = b"\xff\xd8\xff\xe0"


def key_in(header: dict[str, str]) -> str:
    return header["Authorization"].removeprefix("Bearer ")


def test_the_verbs_of_the_client_by_http(
    http: httpx.Client, everything: dict[str, str], pictures: Path, user: str
) -> None:
    photo = pictures / "anna/1.jpg"
    with HttpClient(str(http.base_url), key_in(everything)) as client:
        outcome = client.ask(user, photo, consent="tests", subject_id="anna")
        assert isinstance(outcome, Enrolment) and outcome.outcome is Outcome.ENROLLED
        assert client.subjects(user) == {"anna": 1}
        match = client.ask(user, photo.read_bytes(), camera_id="door")
        assert isinstance(match, Match) and match.faces[0].subject_id == "anna"
        own = new_event_id()
        assert client.frame(user, photo, camera_id="door", mode=Mode.VERIFY, subject_id="anna", event_id=own) == own
        verified = client.answer(own)
        assert isinstance(verified, Match) and verified.faces[0].decision is Decision.MATCH
        sent = client.enrol(user, photo, consent="tests", subject_id="anna")
        again = client.answer(sent)
        assert isinstance(again, Enrolment) and again.templates == 1


def test_the_same_on_asyncio(http: httpx.Client, everything: dict[str, str], pictures: Path, user: str) -> None:
    photo = pictures / "anna/1.jpg"

    async def run() -> None:
        async with AsyncHttpClient(str(http.base_url), key_in(everything)) as client:
            outcome = await client.ask(user, photo, consent="tests", subject_id="anna")
            assert isinstance(outcome, Enrolment) and outcome.outcome is Outcome.ENROLLED
            sent = [client.frame(user, photo, camera_id=f"camera-{number}") for number in range(5)]
            answers = [await client.answer(event_id) for event_id in await asyncio.gather(*sent)]
            assert {one.faces[0].subject_id for one in answers if isinstance(one, Match)} == {"anna"}
            assert await client.subjects(user) == {"anna": 1}

    asyncio.run(run())


def test_erasing_gives_the_receipt(http: httpx.Client, everything: dict[str, str], pictures: Path, user: str) -> None:
    with HttpClient(str(http.base_url), key_in(everything)) as client:
        sent = [
            client.ask(user, pictures / name, consent="tests", subject_id="anna").event_id
            for name in ("anna/1.jpg", "anna/2.jpg")
        ]
        with pytest.raises(InvalidEvent, match="subject_id"):
            client.erase(user, photo=sent[0])
        with pytest.raises(InvalidId):
            client.erase(user, "anna", photo="1.jpg")
        with pytest.raises(InvalidEvent):
            client.erase(user, "")
        assert client.subjects(user) == {"anna": 2}
        receipt = client.erase(user, "anna", photo=sent[0], wait_s=0)
        assert (receipt.user_id, receipt.subject_id, receipt.photo) == (user, "anna", (sent[0],))
        assert (receipt.completed_at is None) is bool(receipt.waiting_for)
        wait_until(lambda: client.erase(user, "anna", photo=sent[0]).completed_at is not None)
        assert client.subjects(user) == {"anna": 1}
        assert [one.event_id for one in client.photos(user, "anna")] == sent[1:]

        async def run() -> None:
            async with AsyncHttpClient(str(http.base_url), key_in(everything)) as client:
                receipt = await client.erase(user, "anna", wait_s=0)
                assert (receipt.subject_id, receipt.photo) == ("anna", ())
                receipt = await client.erase(user, wait_s=0)
                assert receipt.subject_id is None

        asyncio.run(run())
        wait_until(lambda: client.subjects(user) == {})


def test_a_problem_is_an_error_of_the_client(http: httpx.Client, everything: dict[str, str], make_key: MakeKey) -> None:
    with HttpClient(str(http.base_url), key_in(everything)) as client:
        with pytest.raises(InvalidPicture) as raised:
            client.frame("anna", b"no picture", camera_id="door")
        assert raised.value.reason is Reason.UNDECODABLE
        with pytest.raises(InvalidPicture) as raised:
            client.frame("anna", JPEG * 50_000, camera_id="door")
        assert raised.value.reason is Reason.PICTURE_TOO_LARGE
        with pytest.raises(InvalidId):
            client.frame("anna\u200b", JPEG, camera_id="door")
        with pytest.raises(InvalidEvent, match="slash"):
            client.subjects("a/b")
        with pytest.raises(AnswerTimeout):
            client.answer(new_event_id(), timeout_s=0.3)
    with HttpClient(str(http.base_url), key_in(make_key(Scope.READ, user="bob"))) as client:
        with pytest.raises(AccessDenied):
            client.subjects("anna")
        with pytest.raises(AccessDenied):
            client.frame("bob", JPEG, camera_id="door")
    with HttpClient("http://127.0.0.1:1", "fs_x", timeout_s=0.5) as client, pytest.raises(GatewayError) as away:
        client.subjects("anna")
    assert away.value.status == 0


def test_what_was_accepted_has_its_effect_though_the_gateway_is_killed(
    settings: Settings, everything: dict[str, str], pictures: Path, tmp_path: Path, user: str
) -> None:
    (port,) = free_ports(1)
    here = settings.model_copy(update={"gateway_port": port, "gateway_requests_at_once": 64})
    photo = (pictures / "anna/1.jpg").read_bytes()
    enough = threading.Semaphore(0)

    def send(client: HttpClient, number: int) -> str:
        event_id = client.frame(user, photo, camera_id=f"camera-{number % 4}")
        enough.release()
        return event_id

    with (
        HttpClient(f"http://127.0.0.1:{port}", key_in(everything), timeout_s=60) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        sent = []
        for attempt in range(3):
            (tmp_path / str(attempt)).mkdir()
            with gateway(here, tmp_path / str(attempt)) as (process, _, _):
                sent += [pool.submit(send, client, number) for number in range(80)]
                # In the middle of the load; the last one finishes what is left.
                for _ in range(40 if attempt < 2 else 3 * 80 - 2 * 40):
                    assert enough.acquire(timeout=60)
                process.send_signal(signal.SIGKILL)
                process.wait(10)
        accepted = [future.result(60) for future in sent]
        assert len(set(accepted)) == 240
        there = Counter(codec.event_id(one.value) for one in read_topic(settings, Topic.FRAMES))
        assert not [event_id for event_id in accepted if not there[event_id]]
    with closing(RedisResults(settings.redis_url, settings.redis_prefix)) as results:
        answers = results.wait_for(accepted, 60)
    assert {answers[one]["faces"][0]["decision"] for one in accepted} == {"unknown"}, "nobody is enrolled"
