"""Logs as JSON: each line an object, which names the event, and no user."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas import codec
from schemas.reasons import Reason
from streams.dead_letters.records import dead_letter, tell
from streams.kafka.decoding import InvalidMessage
from streams.kafka.messages import Message, TopicPartition
from streams.observability import logs
from streams.settings import Settings
from tests.sinks.examples import match

Lines = Callable[[], list[dict[str, Any]]]


class Terminal(io.StringIO):
    """Standard error of somebody who sits before it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], level = before
    root.setLevel(level)


def configured(monkeypatch: pytest.MonkeyPatch, to: io.StringIO, **settings: Any) -> None:
    monkeypatch.setattr("sys.stderr", to)
    logs.configure("match", Settings(**settings))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    said = io.StringIO()
    configured(monkeypatch, said)
    return lambda: [json.loads(line) for line in said.getvalue().splitlines()]


def test_a_line_is_an_object(lines: Lines) -> None:
    logging.getLogger("streams.tests").info("für %s", "zwei\nZeilen")
    (line,) = lines()
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "INFO", "logger": "streams.tests", "message": "für zwei\nZeilen", "stage": "match"}


def test_an_error_has_its_trace_in_the_same_line(lines: Lines) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("streams.tests").exception("it failed")
    (line,) = lines()
    assert line["message"] == "it failed" and line["error"].endswith("ValueError: why")


def test_a_dead_letter_names_its_event_and_no_user(lines: Lines) -> None:
    event = match()
    message = Message(TopicPartition("matches", 1), 7, 0, event.user_id.encode(), codec.encode(event))
    tell([dead_letter(message, "match", InvalidMessage(Reason.FAILED, "KeyError", f"nothing of {event.user_id}"))])
    (line,) = lines()
    assert line["event_id"] == event.event_id and "offset 7 of matches 1" in line["message"]
    assert line["user"] == hashlib.sha256(event.user_id.encode()).hexdigest()[:16]
    assert event.user_id not in json.dumps(line)


def test_a_key_makes_other_hashes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configured(monkeypatch, io.StringIO())
    plain = logs.hashed("anna")
    (tmp_path / "log.key").write_text("secret\n")
    configured(monkeypatch, io.StringIO(), log_key_file=tmp_path / "log.key")
    assert logs.hashed("anna") not in (plain, logs.hashed("otto"))


@pytest.mark.parametrize(
    ("form", "to", "is_json"),
    [
        ("auto", Terminal, False),
        ("auto", io.StringIO, True),
        ("json", Terminal, True),
        ("text", io.StringIO, False),
    ],
    ids=["on a terminal", "elsewhere", "asked for", "not wanted"],
)
def test_where_there_are_objects(
    form: str, to: type[io.StringIO], is_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = to()
    configured(monkeypatch, said, log_format=form)
    logging.getLogger("streams.tests").info("hello")
    assert said.getvalue().startswith("{") is is_json
    assert "hello" in said.getvalue()
