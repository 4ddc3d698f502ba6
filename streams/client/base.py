"""The common part of the real client and of the fake for applications' tests."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import overload

from schemas.ids import canonical_event_id
from schemas.ingest import Consent, Mode
from schemas.results import Enrolment, Match
from streams.client.answers import Answer
from streams.client.delivery_report import DeliveryHandle
from streams.client.errors import DeliveryFailed, FacestreamError, InvalidEvent
from streams.client.sender import EventSender

ANSWER_S = 30.0
"""How long a question waits for its answer unless it is told otherwise."""


class BaseClient(EventSender):
    """Sends photos and frames, and asks what came of them. Thread-safe."""

    @overload
    def ask(
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
    def ask(
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
    def ask(
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
        """Send a picture and wait for the answer: with ``consent`` an enrolment photo, with ``camera_id`` a frame.

        The arguments are those of :meth:`enrol` and :meth:`frame`; ``timeout_s`` is the time for all of it.

        Returns:
            The outcome of the upload, also where it is ``refused``; or the match of the frame, with a decision for each
            face, and with a ``refusal`` where the picture as a whole cannot be used.

        Raises:
            InvalidEvent, OSError, BackPressure, TopicMissing, PartitionsDiffer, KafkaUnavailable: nothing was sent.
            DeliveryFailed, AnswerTimeout, DeadLettered, ResultsUnavailable: as :meth:`answer`.
        """
        deadline = time.monotonic() + timeout_s
        handle = self.hand_over(
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
        return self.answer(handle, timeout_s=max(0.0, deadline - time.monotonic()))

    def hand_over(
        self,
        user_id: str,
        picture: bytes | Path | str,
        *,
        consent: Consent | str | None,
        camera_id: str | None,
        sequence: int | None,
        captured_at: datetime | None,
        mode: Mode,
        subject_id: str | None,
        sha256: str | None,
        event_id: str | None,
        timeout_s: float | None,
    ) -> DeliveryHandle:
        """Send what :meth:`ask` asks about: an upload with ``consent``, a frame with ``camera_id``."""
        if consent is not None and camera_id is None:
            if sequence is not None or captured_at is not None or mode is not Mode.IDENTIFY:
                raise InvalidEvent("sequence, captured_at and mode go with the camera_id of a frame, not with consent")
            return self.enrol(
                user_id,
                picture,
                consent=consent,
                subject_id=subject_id,
                sha256=sha256,
                event_id=event_id,
                timeout_s=timeout_s,
            )
        if camera_id is not None and consent is None:
            return self.frame(
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
        raise InvalidEvent("give consent to enrol a person, or camera_id to ask about a frame, not both")

    def answer(self, sent: DeliveryHandle | str, *, timeout_s: float = ANSWER_S) -> Answer:
        """Wait for the answer to an event that was sent before, by its handle or its event id.

        Raises:
            DeliveryFailed: Kafka did not take the event.
            AnswerTimeout: there is no answer in time; a ``TimeoutError``.
            DeadLettered: the event could not be processed.
            ResultsUnavailable: Redis could not be asked at the end of that time.
        """
        future = self.answer_future(sent)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            if future.done() and not future.cancelled():
                return future.result()
            future.cancel()
            raise self.late(sent, timeout_s) from None
        except DeliveryFailed:
            seen(sent)
            raise

    @abstractmethod
    def answer_future(self, sent: DeliveryHandle | str) -> Future[Answer]:
        """The answer once it is there, for programs that wait for many; cancel it to stop waiting."""

    @abstractmethod
    def late(self, sent: DeliveryHandle | str, timeout_s: float) -> FacestreamError:
        """What to say of an event without an answer after this time."""

    @abstractmethod
    def latest(self, user_id: str, camera_id: str) -> Match | None:
        """The newest match of a camera, or None."""

    @abstractmethod
    def subjects(self, user_id: str) -> dict[str, int]:
        """The user's enrolled subjects and how many templates each has."""

    @abstractmethod
    def follow(self, user_id: str, *, kept: bool = False, timeout_s: float | None = None) -> Iterator[Answer]:
        """Yield a user's answers as they come, in order; with ``kept`` first those that are still kept.

        Ends when nothing came for ``timeout_s``, never without it.
        """


def event_id_of(sent: DeliveryHandle | str) -> str:
    """The event id in its canonical form.

    Raises:
        InvalidId: the text is no UUID.
    """
    return sent.event_id if isinstance(sent, DeliveryHandle) else canonical_event_id(sent)


def seen(sent: DeliveryHandle | str) -> None:
    """Note that the caller was told of the failed delivery."""
    if isinstance(sent, DeliveryHandle):
        sent.asked = True
