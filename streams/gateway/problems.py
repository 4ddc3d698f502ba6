"""What the gateway answers when it cannot do what it is asked: problem details for HTTP APIs (RFC 9457).

``reason`` is a word of :class:`schemas.reasons.Reason`, as answers and dead letters have it, or one of the gateway's
own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from schemas.errors import FacestreamError
from schemas.ids import InvalidId
from schemas.reasons import Reason
from sinks.base import SinkUnavailable
from sinks.redis.errors import ResultsUnavailable
from streams.api_keys.watcher import KeysUnknown
from streams.client.errors import (
    BackPressure,
    DeadLettered,
    DeliveryFailed,
    InvalidEvent,
    InvalidPicture,
    KafkaUnavailable,
    TopicsError,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class GatewayReason(StrEnum):
    """The words that only the gateway uses."""

    INVALID_KEY = "invalid_key"
    MISSING_SCOPE = "missing_scope"
    WRONG_USER = "wrong_user"
    FOREIGN_ORIGIN = "foreign_origin"
    INVALID_REQUEST = "invalid_request"
    EVENT_ID_TAKEN = "event_id_taken"
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_SUBJECT = "unknown_subject"
    UNKNOWN_VERSION = "unknown_version"
    UNKNOWN_HOOK = "unknown_hook"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_TYPE = "unsupported_type"
    HEAD_TOO_LARGE = "head_too_large"
    TOO_SLOW = "too_slow"
    TOO_MANY_REQUESTS = "too_many_requests"
    BUSY = "busy"
    KAFKA_UNAVAILABLE = "kafka_unavailable"
    RESULTS_UNAVAILABLE = "results_unavailable"
    HISTORY_UNAVAILABLE = "history_unavailable"
    NOT_POSSIBLE = "not_possible"
    FAULT = "fault"


MEANINGS = {
    GatewayReason.INVALID_KEY: "there is no key, or it is unknown, revoked or over",
    GatewayReason.MISSING_SCOPE: "the key does not allow this",
    GatewayReason.WRONG_USER: "the key does not reach the data of this user",
    GatewayReason.FOREIGN_ORIGIN: "without keys, web pages and other hosts' names are refused",
    GatewayReason.INVALID_REQUEST: "a parameter or the body is missing, malformed or of no use here",
    GatewayReason.EVENT_ID_TAKEN: "another user has sent an event with this event_id",
    GatewayReason.UNKNOWN_EVENT: "there is no answer to such an event: not yet, no longer, or never",
    GatewayReason.UNKNOWN_SUBJECT: "nobody of this name is enrolled, and there is no photo of him",
    GatewayReason.UNKNOWN_VERSION: "there is no such model version",
    GatewayReason.UNKNOWN_HOOK: "there is no hook with this id",
    GatewayReason.NOT_FOUND: "there is no such address",
    GatewayReason.METHOD_NOT_ALLOWED: "the address has no such method",
    GatewayReason.UNSUPPORTED_TYPE: "the content type is none of those that can be read",
    GatewayReason.HEAD_TOO_LARGE: "the address and the headers are too long",
    GatewayReason.TOO_SLOW: "the head or the body did not come in time",
    GatewayReason.TOO_MANY_REQUESTS: "the key has too many requests under way",
    GatewayReason.BUSY: "there is no room for more at the moment",
    GatewayReason.KAFKA_UNAVAILABLE: "Kafka has not confirmed the event; sending it again is safe",
    GatewayReason.RESULTS_UNAVAILABLE: "Redis does not answer",
    GatewayReason.HISTORY_UNAVAILABLE: "BigQuery does not answer",
    GatewayReason.NOT_POSSIBLE: "the step cannot be taken as things are",
    GatewayReason.FAULT: "a fault of the gateway, which is in its log",
}
"""What they mean."""


class Problem(Exception):
    """A request that cannot be met."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """``members`` are put beside the standard ones."""
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> Response:
        """The answer."""
        body = {
            "type": f"urn:facestream:reason:{self.reason}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "reason": str(self.reason),
            "detail": self.detail,
            **self.members,
        }
        return Response(json.dumps(body, ensure_ascii=False), self.status, self.headers, MEDIA_TYPE)


def later(reason: GatewayReason, detail: str, after_s: int = 1, status: int = 503) -> Problem:
    """A request that may be met if it is made again after some seconds."""
    return Problem(status, reason, detail, {"Retry-After": str(after_s)})


def too_large(detail: str) -> Problem:
    """A body with more bytes than a picture may have; the connection ends, so that the rest is not read."""
    return Problem(413, Reason.PICTURE_TOO_LARGE, detail, {"Connection": "close"})


def json_answer(body: Mapping[str, Any], status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(json.dumps(body, ensure_ascii=False), status, media_type="application/json")


Known = FacestreamError | KeysUnknown | SinkUnavailable
"""Errors for which there may be an answer."""


def problem_of(error: Known) -> Problem:
    """What to answer where the client or a service has raised an error."""
    match error:
        case InvalidPicture(reason=Reason.PICTURE_TOO_LARGE):
            return too_large(str(error))
        case InvalidPicture():
            return Problem(422, error.reason, str(error))
        case InvalidId():
            return Problem(422, Reason.INVALID_ID, str(error))
        case InvalidEvent():
            return Problem(422, GatewayReason.INVALID_REQUEST, str(error))
        case DeadLettered():
            detail = f"the event could not be processed: {error.letter.message}"
            return Problem(422, error.reason, detail, event_id=error.event_id, letter_id=error.letter.letter_id)
        case BackPressure():
            return later(GatewayReason.BUSY, str(error))
        case DeliveryFailed() | KafkaUnavailable() | TopicsError():
            return later(GatewayReason.KAFKA_UNAVAILABLE, str(error), 5)
        case KeysUnknown():
            return later(GatewayReason.KAFKA_UNAVAILABLE, str(error), 5)
        case ResultsUnavailable():
            return later(GatewayReason.RESULTS_UNAVAILABLE, "Redis does not answer", 5)
        case SinkUnavailable():
            # What it says may name projects and addresses, so it is for the log only.
            log.warning("BigQuery was asked in vain: %s", error)
            return later(GatewayReason.HISTORY_UNAVAILABLE, "BigQuery does not answer", 10)
    raise error
