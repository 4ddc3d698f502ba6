"""The client that reaches facestream by HTTP, for programs that run on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self, Unpack

from schemas.ingest import Consent, Mode
from schemas.learning import Feedback
from schemas.receipts import Receipt
from schemas.results import Enrolment, Match
from schemas.sightings import Sighting
from streams.client.answers import Answer, event_from_json
from streams.client.base import ANSWER_S
from streams.client.errors import GatewayError, InvalidEvent
from streams.client.http_calls import (
    WAIT_S,
    Call,
    Period,
    Retry,
    Said,
    Seen,
    accepted,
    answer_in,
    erase_call,
    error_of,
    event_call,
    feedback_call,
    feedback_in,
    frame_call,
    late,
    listed,
    needed_httpx,
    photo_call,
    receipt_in,
    said_by,
    seen_call,
    subjects_call,
    waiting,
)


class AsyncHttpClient:
    """Like :class:`facestream.HttpClient`, with coroutines. Needs the extra ``http``."""

    def __init__(self, address: str, key: str, *, timeout_s: float = 30.0, **options: Any) -> None:
        """Prepare a client.

        Args:
            address: of the gateway, such as ``https://faces.example``.
            key: of ``facestream keys create``.
            timeout_s: how long a request is tried again while the gateway, Kafka or Redis is away.
            options: of ``httpx.AsyncClient``, such as ``verify``.

        Raises:
            MissingExtra: the package ``httpx`` is not installed.
        """
        self._httpx = needed_httpx()
        self._timeout_s = timeout_s
        headers = {"Authorization": f"Bearer {key}"}
        self._http = self._httpx.AsyncClient(base_url=address, headers=headers, timeout=WAIT_S + 10, **options)

    async def enrol(
        self,
        user_id: str,
        photo: bytes | Path | str,
        *,
        consent: Consent | str,
        subject_id: str | None = None,
        sha256: str | None = None,
        event_id: str | None = None,
    ) -> str:
        """Send an enrolment photo; return its event id once Kafka has it; see :meth:`facestream.HttpClient.enrol`."""
        return accepted(
            await self._made(
                photo_call(user_id, photo, consent=consent, subject_id=subject_id, sha256=sha256, event_id=event_id),
                Retry(self._timeout_s),
            )
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
    ) -> str:
        """Send a frame; return its event id once Kafka has it. The arguments are those of the client.

        Raises:
            FacestreamError: as :meth:`enrol`.
        """
        return accepted(
            await self._made(
                frame_call(
                    user_id,
                    picture,
                    camera_id=camera_id,
                    sequence=sequence,
                    captured_at=captured_at,
                    mode=mode,
                    subject_id=subject_id,
                    sha256=sha256,
                    event_id=event_id,
                ),
                Retry(self._timeout_s),
            )
        )

    async def ask(
        self,
        user_id: str,
        picture: bytes | Path | str,
        *,
        consent: Consent | str | None = None,
        camera_id: str | None = None,
        mode: Mode = Mode.IDENTIFY,
        subject_id: str | None = None,
        event_id: str | None = None,
        timeout_s: float = ANSWER_S,
    ) -> Answer:
        """Send a picture and wait for the answer: with ``consent`` an enrolment photo, with ``camera_id`` a frame.

        Raises:
            AnswerTimeout: there is no answer in time.
            FacestreamError: as :meth:`enrol`; GatewayError too where the event could not be processed.
        """
        retry = Retry(timeout_s)
        if consent is not None and camera_id is None:
            call = photo_call(user_id, picture, consent=consent, subject_id=subject_id, sha256=None, event_id=event_id)
        elif camera_id is not None and consent is None:
            call = frame_call(
                user_id,
                picture,
                camera_id=camera_id,
                sequence=None,
                captured_at=None,
                mode=mode,
                subject_id=subject_id,
                sha256=None,
                event_id=event_id,
            )
        else:
            raise InvalidEvent("give consent to enrol a person, or camera_id to ask about a frame, not both")
        answer = answer_in(await self._made(waiting(call, retry.left_s), retry))
        return answer if answer is not None else await self.answer(call.event_id, timeout_s=retry.left_s)

    async def answer(self, event_id: str, *, timeout_s: float = ANSWER_S) -> Answer:
        """Wait for the answer to an event that was sent before.

        Raises:
            AnswerTimeout: there is no answer in time.
            AccessDenied, ResultsUnavailable, GatewayError: it cannot be read.
        """
        retry = Retry(timeout_s)
        while True:
            answer = answer_in(await self._made(event_call(event_id, retry.left_s), retry))
            if answer is not None:
                return answer
            if not retry.left_s:
                raise late(event_id, timeout_s)

    async def subjects(self, user_id: str) -> dict[str, int]:
        """The user's enrolled subjects and how many templates each has.

        Raises:
            FacestreamError: as :meth:`answer`.
        """
        found: dict[str, int] = {}
        after: str | None = ""
        while after is not None:
            said = await self._made(subjects_call(user_id, after), Retry(self._timeout_s))
            if said.status != 200:
                raise error_of(said)
            page = said.json()
            found |= {one["subject_id"]: one["templates"] for one in page["subjects"]}
            after = page["next"]
        return found

    async def matches(self, user_id: str, **which: Unpack[Seen]) -> AsyncIterator[Match]:
        """A user's matches, the newest first: those that Redis keeps, or with ``history`` those in BigQuery.

        Raises:
            FacestreamError: as :meth:`answer`.
        """
        async for event in self._listed(user_id, "matches", which):
            yield event_from_json(event, Match)

    async def sightings(self, user_id: str, **which: Unpack[Seen]) -> AsyncIterator[Sighting]:
        """A user's sightings, those that began last first; from where :meth:`matches` reads.

        Raises:
            FacestreamError: as :meth:`answer`.
        """
        async for event in self._listed(user_id, "sightings", which):
            yield event_from_json(event, Sighting)

    async def photos(self, user_id: str, subject_id: str, **when: Unpack[Period]) -> AsyncIterator[Enrolment]:
        """What became of a subject's photos, the newest first; from where :meth:`matches` reads.

        Raises:
            FacestreamError: as :meth:`answer`; GatewayError if there is no such subject.
        """
        async for event in self._listed(user_id, "photos", when, subject_id):
            yield event_from_json(event, Enrolment)

    async def feedback(
        self, event_id: str, subject_id: str, *, wrong: bool = False, face: int | None = None, training: bool = False
    ) -> Feedback:
        """Say that a face of a frame is a subject, or with ``wrong`` that it is not; the last that is said counts.

        Args:
            event_id: of the frame.
            subject_id: the subject.
            wrong: whether it is not.
            face: number of the face in the match, from 0; None: the one that is meant, if that is clear.
            training: whether models may learn from the face, if the person has agreed to that.

        Raises:
            InvalidEvent: it does not fit the match.
            FacestreamError: as :meth:`answer`; GatewayError if there is no such match.
        """
        call = feedback_call(event_id, subject_id, wrong, face, training)
        return feedback_in(await self._made(call, Retry(self._timeout_s)))

    async def erase(
        self, user_id: str, subject_id: str | None = None, *, photo: str | None = None, wait_s: float = 15.0
    ) -> Receipt:
        """Erase a subject, one photo of it, or without a subject the user with everything; safe to repeat.

        Args:
            user_id: the user.
            subject_id: the subject; None: the user with all subjects.
            photo: event id of the upload of one photo of the subject; None: all of it.
            wait_s: how long to wait for the roles, at most 15 s; they go on without it.

        Returns:
            The receipt; while roles have not answered, its ``completed_at`` is None and ``waiting_for`` names them. If
            the request had to be made again, it counts only what was left.

        Raises:
            InvalidEvent, InvalidId: a name cannot be used, or a photo has no subject.
            FacestreamError: as :meth:`answer`.
        """
        return receipt_in(await self._made(erase_call(user_id, subject_id, photo, wait_s), Retry(self._timeout_s)))

    async def cameras(self, user_id: str, **when: Unpack[Period]) -> dict[str, datetime]:
        """A user's cameras and when the last frame of each was taken; from where :meth:`matches` reads.

        Raises:
            FacestreamError: as :meth:`answer`.
        """
        return {
            one["camera_id"]: datetime.fromisoformat(one["last_captured_at"])
            async for one in self._listed(user_id, "cameras", when)
        }

    async def close(self) -> None:
        """Disconnect."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Use it in an ``async with`` statement."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self.close()

    async def _listed(
        self, user_id: str, what: str, which: Seen | Period, of: str = ""
    ) -> AsyncIterator[Mapping[str, Any]]:
        """What all pages list; ``of`` is a subject."""
        after: str | None = None
        while True:
            said = await self._made(seen_call(user_id, what, which, after, of), Retry(self._timeout_s))
            events, after = listed(said, what)
            for event in events:
                yield event
            if after is None:
                return

    async def _made(self, call: Call, retry: Retry) -> Said:
        """What the gateway says to a call, which is made again while that may help.

        Raises:
            GatewayError: there is no answer in time.
        """
        while True:
            said, trouble = None, ""
            try:
                said = said_by(
                    await self._http.request(
                        call.method,
                        call.path,
                        params=dict(call.query),
                        content=call.body,
                        headers={"Content-Type": call.content_type} if call.body is not None else None,
                    )
                )
            except self._httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            pause_s = retry.pause_s(said)
            if pause_s is None:
                if said is None:
                    raise GatewayError(0, "", f"the gateway cannot be reached: {trouble}")
                return said
            await asyncio.sleep(pause_s)
