"""Interprets the errors of Redis."""

from __future__ import annotations

import re

import redis

from schemas.errors import FacestreamError

_OF_A_CLUSTER = ("same slot", "CROSSSLOT", "MOVED", "CLUSTERDOWN")
_OF_SERVER = re.compile(
    r"\b(OOM|READONLY|LOADING|BUSY|MISCONF|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|CROSSSLOT|NOAUTH|NOPERM)\b"
    r"|can't run this command|[Nn]o permissions|ACL failure"
)
"""Messages of scripts that failed because of the state of the server."""
_OF_KEY = re.compile(r"WRONGTYPE|user_script|Error running script|exhausted the last possible ID|maximum allowed size")
"""Messages of commands that failed because of the value under their key."""


class ResultsUnavailable(FacestreamError):
    """The Redis-protocol server with the results does not answer, or is temporarily unable to."""


def explained(error: redis.RedisError) -> str:
    """Explain to the operator why Redis cannot do it now, and what to do."""
    text = str(error)
    if any(word in text for word in _OF_A_CLUSTER):
        return f"Redis is a cluster, which is not supported yet: see `facestream doctor` ({text})"
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return f"Redis is full: give it more memory, see `facestream doctor` ({text})"
    if isinstance(error, redis.exceptions.ReadOnlyError):
        return f"Redis is a read-only replica: FACESTREAM_REDIS_URL must name the primary ({text})"
    return f"Redis: {type(error).__name__}: {text}"


def blames_key(answer: Exception) -> bool:
    """Whether a command failed because of the value under its key, so that other commands may still succeed."""
    text = str(answer)
    # Errors for which the client has a class of its own, such as a server without memory, concern the server.
    return type(answer) is redis.ResponseError and bool(_OF_KEY.search(text)) and not _OF_SERVER.search(text)
