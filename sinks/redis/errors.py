"""Interprets the errors of Redis."""

from __future__ import annotations

import re
from enum import Enum

import redis

from schemas.errors import FacestreamError

_OF_A_CLUSTER = ("same slot", "CROSSSLOT", "MOVED")
NO_CLUSTER = "cluster support disabled"
"""What a server says to a question about the cluster that it is none of."""
_OF_SERVER = re.compile(
    r"\b(OOM|READONLY|LOADING|BUSY|MISCONF|MASTERDOWN|NOREPLICAS|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|CROSSSLOT|NOAUTH|NOPERM)\b"
    r"|can't run this command|[Nn]o permissions|ACL failure"
)
"""Messages of scripts that failed because of the state of the server."""
_NO_RIGHT = re.compile(r"NOPERM|[Nn]o permissions|ACL failure")
_OF_KEY = re.compile(r"WRONGTYPE|user_script|Error running script|exhausted the last possible ID|maximum allowed size")
"""Messages of commands that failed because of the value under their key."""


class Refusal(Enum):
    """Why a client cannot use a Redis that answers: what is wrong, and what to do."""

    PASSWORD = (
        "refuses the user or the password",
        "set the user in FACESTREAM_REDIS_URL, and FACESTREAM_REDIS_PASSWORD_FILE to a file with the password",
    )
    CERTIFICATE = (
        "has a certificate that no trusted CA has signed",
        "set FACESTREAM_REDIS_CA_FILE to the certificate of its CA, in PEM",
    )
    HOST_NAME = (
        "has a certificate for another host name",
        "set the host in FACESTREAM_REDIS_URL to a name that is in the certificate",
    )
    EXPIRED = ("has a certificate that does not count now", "renew it, or mend the clock of this machine")
    RIGHTS = (
        "does not give its user the right",
        "give the user in FACESTREAM_REDIS_URL the rights that docs/operations.md lists (ACL SETUSER)",
    )

    def __init__(self, what: str, remedy: str) -> None:
        """Say it as the end of a sentence about Redis, and as an instruction."""
        self.what = what
        self.remedy = remedy

    @classmethod
    def of(cls, error: BaseException) -> Refusal | None:
        """What an error means; None: something else."""
        text = str(error)
        if isinstance(error, redis.exceptions.NoPermissionError) or _NO_RIGHT.search(text):
            return cls.RIGHTS
        if isinstance(error, redis.exceptions.AuthenticationError) or "NOAUTH" in text:
            return cls.PASSWORD
        if "mismatch, certificate" in text:
            return cls.HOST_NAME
        if "certificate has expired" in text or "certificate is not yet valid" in text:
            return cls.EXPIRED
        return cls.CERTIFICATE if "CERTIFICATE_VERIFY_FAILED" in text else None


class ResultsUnavailable(FacestreamError):
    """The Redis-protocol server with the results does not answer, or is temporarily unable to."""


def explained(error: redis.RedisError) -> str:
    """Explain to the operator why Redis cannot do it now, and what to do."""
    text = str(error)
    if any(word in text for word in _OF_A_CLUSTER):
        return f"Redis is a cluster: set FACESTREAM_REDIS_CLUSTER=true ({text})"
    if NO_CLUSTER in text:
        return f"Redis is no cluster: set FACESTREAM_REDIS_CLUSTER=false ({text})"
    if (refusal := Refusal.of(error)) is not None:
        return f"Redis {refusal.what} ({text.rstrip('.')}): {refusal.remedy}"
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return f"Redis is full: give it more memory, see `facestream doctor` ({text})"
    if isinstance(error, redis.exceptions.ReadOnlyError):
        return f"Redis is a read-only replica: FACESTREAM_REDIS_URL must name the primary ({text})"
    if type(error) in (redis.ConnectionError, redis.TimeoutError):
        # The classes below these say that something came back.
        return f"no Redis answers ({text.rstrip('.')})"
    return f"Redis: {type(error).__name__}: {text}"


def blames_key(answer: Exception) -> bool:
    """Whether a command failed because of the value under its key, so that other commands may still succeed."""
    text = str(answer)
    # Errors for which the client has a class of its own, such as a server without memory, concern the server.
    return type(answer) is redis.ResponseError and bool(_OF_KEY.search(text)) and not _OF_SERVER.search(text)
