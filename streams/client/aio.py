"""The client for programs that run on asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar, overload

from schemas.ingest import Consent, Frame, Mode, Upload
from schemas.results import Enrolment, Match
from streams.client.answers import Answer
from streams.client.base import ANSWER_S, BaseClient, seen
from streams.client.client import Client as BlockingClient
from streams.client.delivery_report import DeliveryHandle
from streams.client.errors import DeliveryFailed
from streams.client.settings import ClientOptions

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 16


class Client:
    """Like :class:`facestream.Client`, with coroutines: no call blocks the event loop.

    Calls that must wait for room, for Kafka or for Redis wait in threads; waiting for answers needs no thread for each.

    Example:
        >>> from streams.client import aio
        >>> async def who(jpeg: bytes) -> list[str | None]:
        ...     async with aio.Client() as client:
        ...         match = await client.ask("anna", jpeg, camera_id="front-door")
        ...         return [face.subject_id for face in match.faces]
    """

    def __init__(
        self,
        settings: ClientOptions | None = None,
        *,
        client: BaseClient | None = None,
        **options: Any,
    ) -> None:
        """Prepare a client.

        Args:
            settings: where Kafka and Redis are; default: the process's environment.
            client: one to use instead of a new one, such as a :class:`facestream.testing.FakeClient`; closed with this.
            options: of :class:`facestream.Client`.
        """
        self.client = client if client is not None else BlockingClient(settings, **options)
        self._threads = ThreadPoolExecutor(_THREADS, "facestream-aio")

    async def enrol(
        self,
        user_id: str,
        photo: bytes | Path | str,
        *,
        consent: Consent | str,
        subject_id: str | None = None,
        sha256: str | None = None,
        event_id: str | None = None,
        timeout_s: float | None = None,
    ) -> DeliveryHandle:
        """Send an enrolment photo; see :meth:`facestream.Client.enrol`. ``await`` the handle for its delivery."""
        return await self._run(
            self.client.enrol,
            user_id,
            photo,
            consent=consent,
            subject_id=subject_id,
            sha256=sha256,
            event_id=event_id,
            timeout_s=timeout_s,
        )

    async def frame(
        self,
        user_id: str,
        picture: bytes | Path | str,
        *,
        camera_id: str,
        sequence: int | None = None,
        captured_at: datetime | None = None,
        mode: Mode = Mode.IDENTIFY,
        subject_id: str | None = None,
        sha256: str | None = None,
        event_id: str | None = None,
        timeout_s: float | None = None,
    ) -> DeliveryHandle:
        """Send a frame; see :meth:`facestream.Client.frame`. ``await`` the handle for its delivery."""
        return await self._run(
            self.client.frame,
            user_id,
            picture,
            camera_id=camera_id,
            sequence=sequence,
            captured_at=captured_at,
            mode=mode,
            subject_id=subject_id,
            sha256=sha256,
            event_id=event_id,
            timeout_s=timeout_s,
        )

    async def send(self, event: Upload | Frame, *, timeout_s: float | None = None) -> DeliveryHandle:
        """Send an event that the caller has made; see :meth:`facestream.Client.send`."""
        return await self._run(self.client.send, event, timeout_s=timeout_s)

    @overload
    async def ask(
        self,
        user_id: str,
        picture: bytes | Path | str,
        *,
        consent: Consent | str,
        subject_id: str | None = None,
        sha256: str | None = None,
        event_id: str | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Enrolment: ...
    @overload
    async def ask(
        self,
        user_id: str,
        picture: bytes | Path | str,
        *,
        camera_id: str,
        sequence: int | None = None,
        captured_at: datetime | None = None,
        mode: Mode = Mode.IDENTIFY,
        subject_id: str | None = None,
        sha256: str | None = None,
        event_id: str | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Match: ...
    async def ask(
        self,
        user_id: str,
        picture: bytes | Path | str,
        *,
        consent: Consent | str | None = None,
        camera_id: str | None = None,
        sequence: int | None = None,
        captured_at: datetime | None = None,
        mode: Mode = Mode.IDENTIFY,
        subject_id: str | None = None,
        sha256: str | None = None,
        event_id: str | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Answer:
        """Send a picture and wait for the answer; see :meth:`facestream.Client.ask`."""
        deadline = time.monotonic() + timeout_s
        handle = await self._run(
            self.client.hand_over,
            user_id,
            picture,
            consent=consent,
            camera_id=camera_id,
            sequence=sequence,
            captured_at=captured_at,
            mode=mode,
            subject_id=subject_id,
            sha256=sha256,
            event_id=event_id,
            timeout_s=timeout_s,
        )
        return await self.answer(handle, timeout_s=max(0.0, deadline - time.monotonic()))

    async def answer(self, sent: DeliveryHandle | str, *, timeout_s: float = ANSWER_S) -> Answer:
        """Wait for the answer to an event that was sent before; see :meth:`facestream.Client.answer`."""
        future = self.client.answer_future(sent)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), timeout_s)
        except TimeoutError:
            if future.done() and not future.cancelled():
                return future.result()
            raise self.client.late(sent, timeout_s) from None
        except DeliveryFailed:
            seen(sent)
            raise

    async def latest(self, user_id: str, camera_id: str) -> Match | None:
        """The newest match of a camera, or None."""
        return await self._run(self.client.latest, user_id, camera_id)

    async def subjects(self, user_id: str) -> dict[str, int]:
        """The user's enrolled subjects and how many templates each has."""
        return await self._run(self.client.subjects, user_id)

    async def follow(
        self, user_id: str, *, kept: bool = False, timeout_s: float | None = None
    ) -> AsyncIterator[Answer]:
        """Yield a user's answers as they come; see :meth:`facestream.Client.follow`. Each follower has a thread."""
        answers = self.client.follow(user_id, kept=kept, timeout_s=timeout_s)
        while (answer := await asyncio.to_thread(next, answers, None)) is not None:
            yield answer

    async def flush(self, timeout_s: float | None = None) -> None:
        """Wait until every event so far has its delivery report; see :meth:`facestream.Producer.flush`."""
        await self._run(self.client.flush, timeout_s)

    async def close(self, timeout_s: float = 30.0) -> None:
        """Flush and disconnect; see :meth:`facestream.Client.close`."""
        try:
            await asyncio.to_thread(self.client.close, timeout_s)
        finally:
            self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        """Use it in an ``async with`` statement."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Close; an error of the body stays the error, with a note of what was not delivered."""
        try:
            await self.close()
        except DeliveryFailed as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    async def _run(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(call, *arguments, **named))
