"""Enrols people from photos on disk, and finds out what came of each photo."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.pictures.folders import FoundPictures, folders_of, pictures_below
from schemas.ids import InvalidId
from schemas.ingest import Consent
from schemas.reasons import Reason
from sinks.redis import RedisResults
from streams.client.errors import BackPressure, DeliveryFailed, InvalidPicture
from streams.client.producer import Producer
from streams.settings import Settings

_ASK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo and what has come of it: ``sent``, ``enrolled``, ``refused``, ``timed_out`` or ``failed``.

    A photo that failed could not be read or not be sent. ``similar_subject_id`` is another subject of the user who
    would surely be recognised on it.
    """

    photo: str
    subject_id: str
    event_id: str | None = None
    outcome: str = "sent"
    reason: str | None = None
    detail: str | None = None
    similar_subject_id: str | None = None


@dataclass(frozen=True, slots=True)
class PhotosOfPeople:
    """The photos of a folder with one folder a person.

    Attributes:
        photos: those that cannot be read are among them, as failed.
        people: how many folders there are.
        empty: folders without a picture.
        found: all that was found, and what was left out.
    """

    photos: list[Photo]
    people: int
    empty: list[Path]
    found: FoundPictures

    @classmethod
    def below(cls, folder: Path) -> PhotosOfPeople:
        """The photos of ``folder/<subject>/*``."""
        people, left_out = folders_of(folder)
        found = FoundPictures(left_out=left_out)
        photos, empty = [], []
        for person in people:
            of_person = pictures_below(person)
            found.add(of_person)
            photos += [Photo(str(photo), person.name) for photo in of_person.pictures]
            photos += [
                Photo(str(path), person.name, None, "failed", None, why) for path, why in of_person.unreadable.items()
            ]
            if not of_person.pictures and not of_person.unreadable:
                empty.append(person)
        return cls(photos, len(people), empty, found)


def send_photos(
    photos: Sequence[Photo],
    user: str,
    consent: Consent,
    settings: Settings,
    progress: Callable[[], None] = lambda: None,
) -> list[Photo]:
    """Send the photos; one that cannot be sent keeps none of the others back.

    Args:
        photos: with the outcome ``sent``; others are passed through.
        user: owner of the gallery.
        consent: of all of them.
        settings: where Kafka is.
        progress: called after each photo.

    Returns:
        The photos in the same order, with their event ids, or why they were refused or failed.
    """
    sent: list[Photo] = []
    lost: dict[str | None, str] = {}
    why = ""
    try:
        with Producer(settings, check_format=False) as producer:
            for photo in photos:
                sent.append(_sent(producer, photo, user, consent) if photo.outcome == "sent" else photo)
                progress()
    except (BackPressure, DeliveryFailed) as error:
        why = str(error)
        lost = dict.fromkeys(error.event_ids if isinstance(error, DeliveryFailed) else (), why)
    kept = [replace(one, outcome="failed", detail=lost[one.event_id]) if one.event_id in lost else one for one in sent]
    return kept + [replace(one, outcome="failed", detail=why) for one in photos[len(sent) :]]


def await_outcomes(
    photos: Sequence[Photo], timeout_s: float, settings: Settings, progress: Callable[[int], None] = lambda count: None
) -> list[Photo]:
    """Wait for the outcomes of photos that were sent; those without one in time are ``timed_out``.

    Args:
        photos: as :func:`send_photos` returned them.
        timeout_s: for all together.
        settings: where Redis is.
        progress: called with the number of outcomes.

    Raises:
        SinkUnavailable: Redis does not answer.
    """
    waiting = [photo.event_id for photo in photos if photo.event_id is not None and photo.outcome == "sent"]
    found: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + timeout_s
    with closing(RedisResults.of(settings)) as results:
        while (missing := [one for one in waiting if one not in found]) and time.monotonic() < deadline:
            found |= results.wait_for(missing, min(_ASK_EVERY_S, max(0.0, deadline - time.monotonic())))
            progress(len(found))
    return [with_outcome(one, found.get(one.event_id or "")) if one.outcome == "sent" else one for one in photos]


def with_outcome(photo: Photo, enrolment: dict[str, Any] | None) -> Photo:
    """A photo that was sent with its enrolment, as Redis has it; None: there is none."""
    if enrolment is None:
        return replace(photo, outcome="timed_out")
    refusal = enrolment["refusal"] or {}
    detail = refusal.get("detail") or enrolment.get("detail")
    similar = enrolment.get("similar_subject_id")
    reason = refusal.get("reason")
    return replace(photo, outcome=enrolment["outcome"], reason=reason, detail=detail, similar_subject_id=similar)


def _sent(producer: Producer, photo: Photo, user: str, consent: Consent) -> Photo:
    try:
        upload = producer.enrol(user, Path(photo.photo), consent=consent, subject_id=photo.subject_id)
    except InvalidPicture as error:
        return replace(photo, outcome="refused", reason=error.reason.value, detail=str(error))
    except InvalidId as error:
        return replace(photo, outcome="refused", reason=Reason.INVALID_ID.value, detail=str(error))
    except ValueError as error:
        return replace(photo, outcome="refused", detail=str(error))
    except OSError as error:
        return replace(photo, outcome="failed", detail=f"it cannot be read: {error.strerror}")
    return replace(photo, event_id=upload.event_id)
