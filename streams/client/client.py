"""The client of an application: it sends pictures to Kafka, and reads the answers from Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from schemas.dead_letters import DeadLetter
from schemas.ingest import Frame, Upload
from schemas.results import Match
from sinks.redis.results import RedisResults
from streams.client.answers import Answer, answer_from_json
from streams.client.base import BaseClient, event_id_of
from streams.client.dead_letters import DeadLetterWatch
from streams.client.delivery_report import DeliveryHandle
from streams.client.errors import AnswerTimeout, ClientClosed, FacestreamError, ResultsUnavailable
from streams.client.producer import Producer
from streams.client.settings import ClientOptions, ClientSettings
from streams.client.waiting import AnswerWaiter

_BEFORE_S = 600.0
"""How long before the first late answer a dead letter may have been written, so that it is found."""


class Client(BaseClient):
    """Sends photos and frames, and asks what came of them. Thread-safe; one a process is enough.

    Example:
        >>> from pathlib import Path
        >>> from streams.client import Client
        >>> with Client() as client:                                                    # doctest: +SKIP
        ...     client.ask("anna", Path("anna.jpg"), consent="door opening").outcome
        ...     [face.subject_id for face in client.ask("anna", jpeg_bytes, camera_id="front-door").faces]
    """

    def __init__(
        self,
        settings: ClientOptions | None = None,
        *,
        on_delivery: Callable[[DeliveryHandle], None] | None = None,
        block_s: float = 30.0,
        delivery_timeout_s: float = 120.0,
        linger_ms: float = 5.0,
    ) -> None:
        """Prepare a client; it connects with the first event and with the first question.

        Args:
            settings: where Kafka and Redis are; default: the process's environment.
            on_delivery, block_s, delivery_timeout_s, linger_ms: as of :class:`Producer`.
        """
        super().__init__(settings or ClientSettings.from_environment())
        self.producer = Producer(
            self.settings,
            on_delivery=on_delivery,
            block_s=block_s,
            delivery_timeout_s=delivery_timeout_s,
            linger_ms=linger_ms,
        )
        self.results = RedisResults.of(self.settings)
        """The results as JSON, with more ways to ask for them."""
        self._dead_letters = DeadLetterWatch(self.settings)
        self._waiter = AnswerWaiter(self._look, self._dead_letter)
        self._closed = False

    def send(self, event: Upload | Frame, *, timeout_s: float | None = None) -> DeliveryHandle:
        """Send an event that the caller has made; see :meth:`Producer.send`."""
        return self.producer.send(event, timeout_s=timeout_s)

    def answer_future(self, sent: DeliveryHandle | str) -> Future[Answer]:
        """The answer once it is there, for programs that wait for many; cancel it to stop waiting."""
        if self._closed:
            raise ClientClosed("this client is closed: make a new one")
        answer = self._waiter.wait_for(event_id_of(sent))
        if isinstance(sent, DeliveryHandle):
            sent.add_done_callback(lambda handle: _pass_failure(handle, answer))
        return answer

    def late(self, sent: DeliveryHandle | str, timeout_s: float) -> FacestreamError:
        """What to say of an event without an answer after this time."""
        if (trouble := self._waiter.trouble) is not None:
            return ResultsUnavailable(f"after {timeout_s:g} s it cannot be asked for the answer: {trouble}")
        event_id = event_id_of(sent)
        if isinstance(sent, DeliveryHandle) and not sent.done:
            return AnswerTimeout(f"event {event_id} has not even reached Kafka after {timeout_s:g} s", event_id)
        return AnswerTimeout(
            f"event {event_id} has no answer after {timeout_s:g} s: see whether workers run (`facestream doctor`), "
            "and `facestream dead-letters list`",
            event_id,
        )

    def latest(self, user_id: str, camera_id: str) -> Match | None:
        """The newest match of a camera, or None."""
        found = self.results.latest(user_id, camera_id)
        answer = None if found is None else answer_from_json(found)
        return answer if isinstance(answer, Match) else None

    def subjects(self, user_id: str) -> dict[str, int]:
        """The user's enrolled subjects and how many templates each has."""
        return self.results.subjects(user_id)

    def follow(self, user_id: str, *, kept: bool = False, timeout_s: float | None = None) -> Iterator[Answer]:
        """Yield a user's answers as they come, in order; with ``kept`` first those that are still kept.

        Ends when nothing came for ``timeout_s``, never without it.
        """
        for entry in self.results.follow(user_id, "0" if kept else None, timeout_s):
            with suppress(ValueError):  # what somebody else has put there
                yield answer_from_json(entry.event)

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until every event so far has its delivery report; see :meth:`Producer.flush`."""
        self.producer.flush(timeout_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Flush and disconnect; see :meth:`Producer.close`. Whoever still waits for an answer is told ClientClosed."""
        if self._closed:
            return
        self._closed = True
        try:
            self.producer.close(timeout_s)
        finally:
            self._waiter.close()
            self._dead_letters.close()
            self.results.close()

    def _look(self, event_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        return self.results.answers(list(event_ids))

    def _dead_letter(self, event_id: str) -> DeadLetter | None:
        self._dead_letters.start(time.time() - _BEFORE_S)
        return self._dead_letters.find(event_id)


def _pass_failure(handle: DeliveryHandle, answer: Future[Answer]) -> None:
    """End the wait for an answer at once if the event was not delivered."""
    error = handle.future.exception()
    if error is not None:
        with suppress(Exception):  # it is answered, or nobody waits any more
            answer.set_exception(error)
