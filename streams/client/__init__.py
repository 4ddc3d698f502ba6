"""The client that applications use: it sends photos and frames, and reads the answers.

Imports ``kafka``, ``sinks.redis``, schemas and the formats of pictures only: nothing heavy comes with it. It is laid
out as the package ``facestream`` of a distribution of its own, see ``client/``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from schemas.ingest import Consent as Consent
    from schemas.ingest import Frame as Frame
    from schemas.ingest import Mode as Mode
    from schemas.ingest import Picture as Picture
    from schemas.ingest import Upload as Upload
    from schemas.learning import Feedback as Feedback
    from schemas.parts import Box as Box
    from schemas.parts import Decision as Decision
    from schemas.parts import Refusal as Refusal
    from schemas.reasons import Reason as Reason
    from schemas.receipts import Receipt as Receipt
    from schemas.results import Candidate as Candidate
    from schemas.results import Enrolment as Enrolment
    from schemas.results import Match as Match
    from schemas.results import MatchedFace as MatchedFace
    from schemas.results import Outcome as Outcome
    from schemas.sightings import Sighting as Sighting
    from sinks.redis.results import RedisResults as RedisResults
    from streams.client.answers import Answer as Answer
    from streams.client.answers import answer_from_json as answer_from_json
    from streams.client.arrays import encode_array as encode_array
    from streams.client.bigquery import bigquery_client as bigquery_client
    from streams.client.client import Client as Client
    from streams.client.delivery_report import Delivered as Delivered
    from streams.client.delivery_report import DeliveryHandle as DeliveryHandle
    from streams.client.errors import AccessDenied as AccessDenied
    from streams.client.errors import AnswerTimeout as AnswerTimeout
    from streams.client.errors import BackPressure as BackPressure
    from streams.client.errors import ClientClosed as ClientClosed
    from streams.client.errors import CodecError as CodecError
    from streams.client.errors import DeadLettered as DeadLettered
    from streams.client.errors import DeliveryFailed as DeliveryFailed
    from streams.client.errors import DeliveryTimeout as DeliveryTimeout
    from streams.client.errors import FacestreamError as FacestreamError
    from streams.client.errors import GatewayError as GatewayError
    from streams.client.errors import InvalidEvent as InvalidEvent
    from streams.client.errors import InvalidId as InvalidId
    from streams.client.errors import InvalidPicture as InvalidPicture
    from streams.client.errors import InvalidSettings as InvalidSettings
    from streams.client.errors import KafkaUnavailable as KafkaUnavailable
    from streams.client.errors import MissingExtra as MissingExtra
    from streams.client.errors import NotAPicture as NotAPicture
    from streams.client.errors import PartitionsDiffer as PartitionsDiffer
    from streams.client.errors import ResultsUnavailable as ResultsUnavailable
    from streams.client.errors import TopicMissing as TopicMissing
    from streams.client.errors import TopicsError as TopicsError
    from streams.client.http_client import HttpClient as HttpClient
    from streams.client.http_client_aio import AsyncHttpClient as AsyncHttpClient
    from streams.client.producer import Producer as Producer
    from streams.client.settings import ClientSettings as ClientSettings

_MODULES = {
    "schemas.ingest": "Consent Frame Mode Picture Upload",
    "schemas.learning": "Feedback",
    "schemas.parts": "Box Decision Refusal",
    "schemas.reasons": "Reason",
    "schemas.receipts": "Receipt",
    "schemas.results": "Candidate Enrolment Match MatchedFace Outcome",
    "schemas.sightings": "Sighting",
    "sinks.redis.results": "RedisResults",
    "streams.client.answers": "Answer answer_from_json",
    "streams.client.arrays": "encode_array",
    "streams.client.bigquery": "bigquery_client",
    "streams.client.client": "Client",
    "streams.client.delivery_report": "Delivered DeliveryHandle",
    "streams.client.errors": (
        "AccessDenied AnswerTimeout BackPressure ClientClosed CodecError DeadLettered DeliveryFailed DeliveryTimeout "
        "FacestreamError GatewayError InvalidEvent InvalidId InvalidPicture InvalidSettings KafkaUnavailable "
        "MissingExtra NotAPicture PartitionsDiffer ResultsUnavailable TopicMissing TopicsError"
    ),
    "streams.client.http_client": "HttpClient",
    "streams.client.http_client_aio": "AsyncHttpClient",
    "streams.client.producer": "Producer",
    "streams.client.settings": "ClientSettings",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, so that whoever needs one does not wait for all."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
