"""What can be wrong with an encoded event."""

from typing import ClassVar

from schemas.reasons import Reason


class FacestreamError(Exception):
    """The base of every error that an application can meet."""


class CodecError(FacestreamError, ValueError):
    """An event that cannot be read or written."""

    reason: ClassVar[Reason]


class NotAnEvent(CodecError):
    """The bytes do not begin with Avro's single-object marker."""

    reason = Reason.NOT_AN_EVENT


class UnknownSchema(CodecError):
    """The fingerprint is of no schema version that this release knows, or of another kind of event."""

    reason = Reason.UNKNOWN_SCHEMA


class MalformedEvent(CodecError):
    """The body is shorter or longer than its schema says, or a value is out of its range."""

    reason = Reason.MALFORMED_EVENT
