"""What Redis' errors mean."""

from __future__ import annotations

import re

import redis

from schemas.errors import FacestreamError

_OF_A_CLUSTER = ("same slot", "CROSSSLOT", "MOVED", "CLUSTERDOWN")
_OF_SERVER = re.compile(
    r"\b(OOM|READONLY|LOADING|BUSY|MISCONF|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|CROSSSLOT|NOAUTH|NOPERM)\b"
    r"|can't run this command|[Nn]o permissions|ACL failure"
)
"""What a script says that failed for reasons of the server."""
_OF_KEY = re.compile(r"WRONGTYPE|user_script|Error running script|exhausted the last possible ID|maximum allowed size")
"""What a command says that failed for what its key holds."""


class ResultsUnavailable(FacestreamError):
    """The Redis-protocol server with the results does not answer, or answers that it cannot now."""


def explained(error: redis.RedisError) -> str:
    """Why Redis cannot do it now, in words of whoever can mend it."""
    text = str(error)
    if any(word in text for word in _OF_A_CLUSTER):
        return f"Redis is a cluster, which is not supported yet: see `facestream doctor` ({text})"
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return f"Redis is full: give it more memory, see `facestream doctor` ({text})"
    if isinstance(error, redis.exceptions.ReadOnlyError):
        return f"Redis is a read-only replica: FACESTREAM_REDIS_URL must name the primary ({text})"
    return f"Redis: {type(error).__name__}: {text}"


def blames_key(answer: Exception) -> bool:
    """Whether a command failed for what its own key holds, and others need not."""
    text = str(answer)
    # What the client knows by a class of its own, such as a server without memory, is of the server.
    return type(answer) is redis.ResponseError and bool(_OF_KEY.search(text)) and not _OF_SERVER.search(text)
