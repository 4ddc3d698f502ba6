"""Waits for the answers to many events at once, with one thread and few questions to Redis."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from schemas.dead_letters import DeadLetter
from sinks.redis.errors import ResultsUnavailable
from streams.client.answers import Answer, answer_from_json
from streams.client.errors import ClientClosed, DeadLettered

LOG = logging.getLogger(__name__)

_ASK_EVERY_S = 0.02
_AFTER_TROUBLE_S = 0.2
_LATE_S = 1.0
"""Most answers come sooner; then it is looked whether there is a dead letter instead."""


@dataclass(frozen=True, slots=True)
class _Question:
    event_id: str
    asked_at: float


class AnswerWaiter:
    """Futures of answers, by event id.

    Args:
        look: gives the answers that are there, as JSON, by event id.
        dead_letter: gives the dead letter of an event that waits for long, or None.
    """

    def __init__(
        self,
        look: Callable[[Collection[str]], Mapping[str, Mapping[str, Any]]],
        dead_letter: Callable[[str], DeadLetter | None],
    ) -> None:
        self._look = look
        self._dead_letter = dead_letter
        self._changed = threading.Condition()
        self._waiting: dict[Future[Answer], _Question] = {}
        self._closed = False
        self._thread: threading.Thread | None = None
        self.trouble: ResultsUnavailable | None = None
        """Why the last look failed; None: it did not."""

    def wait_for(self, event_id: str) -> Future[Answer]:
        """The answer to an event, once it is there. Cancel the future to stop waiting."""
        future: Future[Answer] = Future()
        with self._changed:
            if self._closed:
                raise ClientClosed("this client is closed: make a new one")
            self._waiting[future] = _Question(event_id, time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="facestream-answers", daemon=True)
                self._thread.start()
            self._changed.notify()
        return future

    def close(self) -> None:
        """Stop waiting; pending waits end with ClientClosed."""
        with self._changed:
            self._closed = True
            for future in self._waiting:
                _settle(future, ClientClosed("the client was closed before the answer came"))
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._waiting = {future: one for future, one in self._waiting.items() if not future.done()}
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                waiting = dict(self._waiting)
            try:
                self._answer(waiting)
            except Exception as error:
                LOG.exception("the answers cannot be told")
                for future in waiting:
                    _settle(future, error)
            with self._changed:
                if not self._closed:
                    self._changed.wait(_AFTER_TROUBLE_S if self.trouble else _ASK_EVERY_S)

    def _answer(self, waiting: Mapping[Future[Answer], _Question]) -> None:
        try:
            found = self._look(list({one.event_id for one in waiting.values()}))
        except ResultsUnavailable as error:
            self.trouble = error
            return
        self.trouble = None
        for future, question in waiting.items():
            if (event := found.get(question.event_id)) is not None:
                try:
                    _settle(future, answer_from_json(event))
                except ValueError as error:
                    _settle(future, ResultsUnavailable(str(error)))
            elif time.monotonic() - question.asked_at > _LATE_S and (letter := self._dead_letter(question.event_id)):
                _settle(future, DeadLettered(question.event_id, letter))


def _settle(future: Future[Answer], result: Answer | Exception) -> None:
    with suppress(InvalidStateError):  # whoever asked has stopped waiting
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
