"""What the HTTP clients send, and what the gateway's answers mean; no network here."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import quote

from schemas.as_json import time_text
from schemas.clock import utc_now
from schemas.ids import InvalidId, canonical_event_id, new_event_id
from schemas.ingest import Consent, Mode
from schemas.learning import Feedback, Statement
from schemas.reasons import Reason
from schemas.receipts import Receipt
from streams.client.answers import Answer, answer_from_json, event_from_json
from streams.client.errors import (
    AccessDenied,
    AnswerTimeout,
    BackPressure,
    FacestreamError,
    GatewayError,
    InvalidEvent,
    InvalidPicture,
    KafkaUnavailable,
    MissingExtra,
    ResultsUnavailable,
)

if TYPE_CHECKING:
    import httpx

WAIT_S = 20.0
"""Longest wait of one request for an answer; a longer one is several requests."""
_AGAIN = {408, 429, 500, 502, 503, 504}
"""Statuses after which the same request may succeed. It is safe: each event has an id, and so has one effect."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request: its method, path, query and body."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None = None
    content_type: str = "application/octet-stream"
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """The answer of the gateway."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The body.

        Raises:
            GatewayError: it is no JSON, so it is not of the gateway.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise GatewayError(self.status, "", f"the answer with status {self.status} is not of a gateway") from None


def photo_call(
    user_id: str,
    photo: bytes | Path | str,
    *,
    consent: Consent | str,
    subject_id: str | None,
    sha256: str | None,
    event_id: str | None,
) -> Call:
    """The call that enrols a person."""
    given = consent if isinstance(consent, Consent) else Consent(consent, utc_now())
    query = {
        "purpose": given.purpose,
        "granted_at": given.granted_at.isoformat(),
        "training": str(given.training).lower(),
        **({} if given.expires_at is None else {"expires_at": given.expires_at.isoformat()}),
    }
    subject = user_id if subject_id is None else subject_id
    return _picture_call(f"{_of(user_id)}/subjects/{_part(subject)}/photos", photo, query, sha256, event_id)


def frame_call(
    user_id: str,
    picture: bytes | Path | str,
    *,
    camera_id: str,
    sequence: int | None,
    captured_at: datetime | None,
    mode: Mode,
    subject_id: str | None,
    sha256: str | None,
    event_id: str | None,
) -> Call:
    """The call that asks about a frame."""
    given = {
        "camera_id": camera_id,
        "sequence": None if sequence is None else str(sequence),
        "captured_at": None if captured_at is None else captured_at.isoformat(),
        "mode": mode.value,
        "subject_id": subject_id,
    }
    query = {name: value for name, value in given.items() if value is not None}
    return _picture_call(f"{_of(user_id)}/frames", picture, query, sha256, event_id)


def event_call(event_id: str, wait_s: float) -> Call:
    """The call that reads an answer."""
    event_id = canonical_event_id(event_id)
    return Call("GET", f"/api/v1/events/{event_id}", {"wait": _wait(wait_s)}, event_id=event_id)


def subjects_call(user_id: str, after: str) -> Call:
    """The call that lists a page of subjects."""
    return Call("GET", f"{_of(user_id)}/subjects", {"limit": "1000", "after": after})


class Period(TypedDict, total=False):
    """From when to when; with ``history`` out of BigQuery, at most a month, and a week if it is not said."""

    since: datetime
    until: datetime
    history: bool


class Seen(Period, total=False):
    """Which matches or sightings."""

    camera_id: str
    subject_id: str


def seen_call(user_id: str, what: str, which: Seen | Period, after: str | None = None, of: str = "") -> Call:
    """The call that lists cameras, or a page of matches or sightings, or of a subject's photos."""
    query: dict[str, str] = {} if after is None else {"after": after}
    for name, value in which.items():
        if isinstance(value, datetime):
            query["from" if name == "since" else "to"] = time_text(value)
        elif value is not None:
            query[name] = str(value).lower() if name == "history" else str(value)
    return Call("GET", f"{_of(user_id)}/{f'subjects/{_part(of)}' if of else what}", query)


def feedback_call(event_id: str, subject_id: str, wrong: bool, face: int | None, training: bool) -> Call:
    """The call that gives feedback."""
    said: dict[str, Any] = {
        "event_id": canonical_event_id(event_id),
        "statement": (Statement.IS_NOT if wrong else Statement.IS).value,
        "subject_id": subject_id,
        "training": training,
    }
    body = said if face is None else said | {"face": face}
    return Call("POST", "/api/v1/feedback", {}, json.dumps(body).encode(), "application/json")


def feedback_in(said: Said) -> Feedback:
    """The feedback that the gateway has taken.

    Raises:
        FacestreamError: as :func:`error_of`.
    """
    if said.status != 200:
        raise error_of(said)
    return event_from_json(said.json(), Feedback)


def erase_call(user_id: str, subject_id: str | None, photo: str | None, wait_s: float) -> Call:
    """The call that erases a user, a subject or a photo.

    Raises:
        InvalidEvent: a photo is named without its subject, or a name cannot be in an address.
        InvalidId: the photo is no event id.
    """
    path = _of(user_id)
    if subject_id is not None:
        path += f"/subjects/{_part(subject_id)}"
    if photo is not None:
        if subject_id is None:
            raise InvalidEvent("a photo is erased of a subject: give subject_id too")
        path += f"/photos/{canonical_event_id(photo)}"
    return Call("DELETE", path, {"wait": _wait(wait_s)})


def receipt_in(said: Said) -> Receipt:
    """The receipt of an erasure.

    Raises:
        FacestreamError: as :func:`error_of`.
    """
    if said.status not in (200, 202):
        raise error_of(said)
    return event_from_json(said.json(), Receipt)


def listed(said: Said, what: str) -> tuple[list[Mapping[str, Any]], str | None]:
    """What a page lists, and the cursor of the next one.

    Raises:
        FacestreamError: as :func:`error_of`.
    """
    if said.status != 200:
        raise error_of(said)
    page = said.json()
    return page[what], page.get("next")


def waiting(call: Call, wait_s: float) -> Call:
    """The same call, which waits for the answer."""
    return Call(
        call.method,
        call.path,
        {**call.query, "wait": _wait(wait_s)},
        call.body,
        call.content_type,
        call.event_id,
    )


class Retry:
    """How long to pause before a call is made again, until its time is over."""

    def __init__(self, timeout_s: float) -> None:
        self._deadline = time.monotonic() + timeout_s
        self._pause_s = _FIRST_PAUSE_S

    @property
    def left_s(self) -> float:
        """The time that is left."""
        return max(0.0, self._deadline - time.monotonic())

    def pause_s(self, said: Said | None) -> float | None:
        """The pause before the next try; None: it is of no use, or the time is over.

        ``said`` is what the gateway said to the last try, None if it said nothing.
        """
        if said is not None and said.status not in _AGAIN:
            return None
        self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)
        told = "" if said is None else said.headers.get("retry-after", "")
        pause_s = max(float(told) if told.isdecimal() else 0.0, self._pause_s * random.uniform(0.5, 1.0))
        return pause_s if pause_s < self.left_s else None


def answer_in(said: Said) -> Answer | None:
    """The answer in what the gateway said; None if there is none yet.

    Raises:
        FacestreamError: as :func:`error_of`.
    """
    if said.status == 200:
        return answer_from_json(said.json())
    if said.status == 202 or (said.status == 404 and said.json().get("reason") == "unknown_event"):
        return None
    raise error_of(said)


def accepted(said: Said) -> str:
    """The event id of what the gateway took.

    Raises:
        FacestreamError: it took nothing; as :func:`error_of`.
    """
    if said.status in (200, 202):
        return str(said.json()["event_id"])
    raise error_of(said)


def error_of(said: Said) -> FacestreamError:
    """The error that a problem stands for."""
    problem = said.json()
    reason, detail = str(problem.get("reason", "")), str(problem.get("detail", ""))
    if said.status in (401, 403):
        return AccessDenied(detail)
    if reason == Reason.INVALID_ID:
        return InvalidId(detail)
    if said.status in (409, 413, 415, 422) and "letter_id" not in problem:
        return InvalidPicture(Reason(reason), detail) if reason in set(Reason) else InvalidEvent(detail)
    if reason in ("busy", "too_many_requests"):
        return BackPressure(detail)
    if reason == "kafka_unavailable":
        return KafkaUnavailable(detail)
    if reason in ("results_unavailable", "history_unavailable"):
        return ResultsUnavailable(detail)
    return GatewayError(said.status, reason, detail)


def late(event_id: str, timeout_s: float) -> AnswerTimeout:
    """The error where no answer came in time."""
    return AnswerTimeout(f"event {event_id} has no answer after {timeout_s:g} s", event_id)


def needed_httpx() -> Any:
    """The package httpx.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("HTTP needs the package httpx: install facestream-client[http]") from error
    return httpx


def said_by(response: httpx.Response) -> Said:
    """What a response says."""
    return Said(response.status_code, response.content, response.headers)


def _picture_call(
    path: str, picture: bytes | Path | str, query: Mapping[str, str], sha256: str | None, event_id: str | None
) -> Call:
    own = canonical_event_id(event_id) if event_id else new_event_id()
    known = {**query, "event_id": own} | ({} if sha256 is None else {"sha256": sha256})
    if isinstance(picture, str):
        return Call("POST", path, known, json.dumps({"uri": picture}).encode(), "application/json", own)
    body = picture.read_bytes() if isinstance(picture, Path) else bytes(picture)
    return Call("POST", path, known, body, event_id=own)


def _of(user_id: str) -> str:
    return f"/api/v1/users/{_part(user_id)}"


def _part(name: str) -> str:
    """A name as a part of a path.

    Raises:
        InvalidEvent: it cannot be one.
    """
    if not name or "/" in name or name in (".", ".."):
        raise InvalidEvent(f"{name!r} cannot be in an HTTP address: a name with a slash goes by Kafka only")
    return quote(name, safe="")


def _wait(seconds: float) -> str:
    return f"{max(0, int(1000 * min(WAIT_S, seconds)))}ms"
