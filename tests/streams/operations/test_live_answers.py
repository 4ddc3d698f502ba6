"""Answers are followed from those that are there, over a restart of the server, each once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from infra.supervisor import Supervisor
from schemas.ids import new_event_id
from sinks.redis import LiveEntry, RedisSink, ResultsUnavailable
from streams.operations.live_answers import LiveAnswers
from streams.settings import Settings
from tests.sinks.examples import delivery, match
from tests.sinks.servers import Redis, start_redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Supervisor() as supervisor:
        yield start_redis(supervisor, tmp_path_factory.mktemp("redis"))


class Sink:
    """Writes matches with rising offsets."""

    def __init__(self, server: Redis) -> None:
        self._url = server.url
        self._next = 0

    def write(self, user: str, count: int) -> list[str]:
        sent = [match(event_id=new_event_id(), user_id=user, sequence=number) for number in range(count)]
        sink = RedisSink(self._url)
        sink.write([delivery(one, self._next + number) for number, one in enumerate(sent)])
        sink.close()
        self._next += count
        return [one.event_id for one in sent]


@pytest.mark.parametrize("named", [True, False])
def test_each_answer_comes_once_though_redis_is_restarted(server: Redis, tmp_path: Path, named: bool) -> None:
    user = f"ursula-{named}"
    sink = Sink(server)
    early = sink.write(user, 5)
    settings = Settings(redis_url=server.url, home=tmp_path)
    heard: SimpleQueue[str] = SimpleQueue()
    states: SimpleQueue[str] = SimpleQueue()

    def lost(error: ResultsUnavailable) -> None:
        states.put("lost")

    answers = LiveAnswers(
        lambda: settings, [user] if named else [], lost=lost, listening=lambda: states.put("listening")
    )

    def follow() -> None:
        for entry in answers.follow(first=3, timeout_s=120):
            if of(entry) == user:
                heard.put(entry.event["event_id"])

    threading.Thread(target=follow, daemon=True).start()
    assert [heard.get(timeout=30) for _ in range(3)] == early[2:]
    assert states.get(timeout=30) == "listening"
    live = sink.write(user, 2)
    assert [heard.get(timeout=30) for _ in range(2)] == live

    server.supervisor.kill("redis")
    while states.get(timeout=30) != "lost":
        pass
    server.supervisor.restart("redis")
    assert states.get(timeout=60) == "listening"
    later = sink.write(user, 2)
    assert [heard.get(timeout=30) for _ in range(2)] == later
    assert heard.empty()


def of(entry: LiveEntry) -> str:
    return str(entry.event["user_id"])


def test_a_server_that_is_not_there_at_the_start_is_an_error(tmp_path: Path) -> None:
    settings = Settings(redis_url="redis://127.0.0.1:1/0", home=tmp_path)
    with pytest.raises(ResultsUnavailable):
        next(LiveAnswers(lambda: settings).follow())
