"""From what an application has in hand to an upload or a frame."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.clock import utc_now
from schemas.ids import checked_name, new_event_id
from schemas.ingest import Consent, Frame, Mode, Upload
from streams.client.delivery_report import DeliveryHandle
from streams.client.errors import DeliveryFailed, InvalidEvent
from streams.client.settings import ClientOptions
from streams.client.validation import checked_picture


class EventSender(ABC):
    """Whatever takes uploads and frames: the producer, a client, and the fake of an application's tests."""

    def __init__(self, settings: ClientOptions, *, check_format: bool = True) -> None:
        self.settings = settings
        self._check_format = check_format
        self._numbers_lock = threading.Lock()
        self._numbers: Counter[tuple[str, str]] = Counter()

    @abstractmethod
    def send(self, event: Upload | Frame, *, timeout_s: float | None = None) -> DeliveryHandle:
        """Send an event that the caller has made."""

    def enrol(
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
        """Send an enrolment photo: one person, to be remembered.

        Args:
            user_id: owner of the gallery.
            photo: the encoded picture, a file to read it from here, or an address that the workers read it from
                (``https://``, ``gs://``, ``s3://`` or ``file://``, as far as their settings allow).
            consent: what the person agreed to; a text is the purpose of a consent given now.
            subject_id: the person; default: the user himself.
            sha256: hexadecimal digest for the workers to check; computed if the picture is at hand.
            event_id: a UUID of your own, in any form; the same id twice has one effect.
            timeout_s: wait this long for room in the queue, 0: not at all; default: the client's ``block_s``.

        Raises:
            InvalidEvent: an argument is empty or out of its range. InvalidPicture if it is the picture, for example
                bytes of a format that no worker reads; InvalidId if it is an id, for example one with an invisible
                character.
            NotAPicture: the photo is of a type that cannot be one, such as an array; a ``TypeError``.
            OSError: the file cannot be read.
            BackPressure, TopicMissing, PartitionsDiffer, KafkaUnavailable: nothing was sent.
        """
        now = utc_now()
        upload = Upload(
            event_id=event_id or new_event_id(),
            user_id=user_id,
            subject_id=user_id if subject_id is None else subject_id,
            created_at=now,
            picture=checked_picture(photo, sha256, self.settings, with_digest=True, check_format=self._check_format),
            consent=Consent(consent, now) if isinstance(consent, str) else consent,
        )
        return self.send(upload, timeout_s=timeout_s)

    def frame(
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
        """Send a camera picture and ask who is in it.

        Args:
            user_id: owner of the camera and of the gallery that is asked.
            picture: as ``photo`` of :meth:`enrol`.
            camera_id: the camera, unique within the user.
            sequence: the frame's number; default: counts from 0 for each camera of this client.
            captured_at: when it was taken, with a timezone; default: now.
            mode: ``identify`` (who is it?), ``verify`` (is it ``subject_id``?) or, if the workers' settings allow it,
                ``search`` (who of the subjects of all users?).
            subject_id: with ``verify``: the person claimed; default: the user himself.
            sha256: hexadecimal digest for the workers to check; not computed for frames.
            event_id: a UUID of your own, in any form; the same id twice has one effect.
            timeout_s: wait this long for room in the queue, 0: not at all; default: the client's ``block_s``.

        Raises:
            InvalidEvent, OSError, BackPressure, TopicMissing, PartitionsDiffer, KafkaUnavailable: as :meth:`enrol`.
        """
        if subject_id is not None and mode is not Mode.VERIFY:
            raise InvalidEvent("subject_id is the person claimed: it goes with mode=Mode.VERIFY")
        checked = checked_picture(picture, sha256, self.settings, with_digest=False, check_format=self._check_format)
        frame = Frame(
            event_id=event_id or new_event_id(),
            user_id=user_id,
            camera_id=camera_id,
            sequence=self._next_number(user_id, camera_id) if sequence is None else sequence,
            captured_at=captured_at or utc_now(),
            picture=checked,
            mode=mode,
            subject_id=subject_id,
        )
        return self.send(frame, timeout_s=timeout_s)

    @abstractmethod
    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until every event so far has its delivery report."""

    @abstractmethod
    def close(self, timeout_s: float = 30.0) -> None:
        """Flush and disconnect."""

    def __enter__(self) -> Self:
        """Use it in a ``with`` statement."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; an error of the body stays the error, with a note of what was not delivered."""
        try:
            self.close()
        except DeliveryFailed as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    def _next_number(self, user_id: str, camera_id: str) -> int:
        camera = checked_name("user_id", user_id), checked_name("camera_id", camera_id)
        with self._numbers_lock:
            number = self._numbers[camera]
            self._numbers[camera] = number + 1
        return number
