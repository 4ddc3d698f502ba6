"""The base class of errors for applications, and the errors of encoded events."""

from typing import ClassVar

from schemas.reasons import Reason


class FacestreamError(Exception):
    """The base class of all errors that an application can get."""


class CodecError(FacestreamError, ValueError):
    """An event cannot be decoded or encoded."""

    reason: ClassVar[Reason]


class NotAnEvent(CodecError):
    """The bytes do not begin with Avro's single-object marker."""

    reason = Reason.NOT_AN_EVENT


class UnknownSchema(CodecError):
    """The fingerprint is not that of a schema version that this release knows, or is that of another kind of event."""

    reason = Reason.UNKNOWN_SCHEMA


class MalformedEvent(CodecError):
    """The body is shorter or longer than its schema says, or a value is out of its range."""

    reason = Reason.MALFORMED_EVENT
