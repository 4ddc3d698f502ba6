"""The log of a worker, gateway or camera process: lines for people, or an object of JSON a line for programs.

An object has ``time`` (UTC), ``level``, ``logger``, ``message`` and ``stage``, and ``error`` with the trace if there is
one. If a line is about an event, it has ``event_id`` and ``user``, which is a hash and not the user's name.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from schemas import codec
from streams.settings import Settings

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_RENAMED = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "error"}
_USER_DIGITS = 16
_key = b""


def configure(stage: str, settings: Settings) -> None:
    """Log to standard error from now on, as ``FACESTREAM_LOG_FORMAT`` says.

    Args:
        stage: the role of the worker, ``gateway`` or ``camera``.
        settings: of this process.

    Raises:
        OSError: the file with the key of users' hashes cannot be read.
    """
    global _key
    _key = settings.log_key_file.read_bytes().strip() if settings.log_key_file else b""
    handler = logging.StreamHandler()
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    handler.setFormatter(_Json(stage) if as_json else logging.Formatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def about(*, user_id: str | None = None, event_id: str | None = None) -> dict[str, str]:
    """The argument ``extra`` of a call that logs something about an event."""
    known = {"event_id": event_id, "user": None if user_id is None else hashed(user_id)}
    return {name: value for name, value in known.items() if value is not None}


def about_message(key: bytes | None, value: bytes | None) -> dict[str, str]:
    """The same for a message of Kafka, whose key is its user, even if the message cannot be read."""
    return about(user_id=key.decode(errors="surrogateescape") if key else None, event_id=codec.event_id(value))


def hashed(user_id: str) -> str:
    """What stands for a user in logs: the beginning of SHA-256 of the name, or of its HMAC if there is a key."""
    name = user_id.encode(errors="surrogateescape")
    digest = hmac.new(_key, name, hashlib.sha256) if _key else hashlib.sha256(name)
    return digest.hexdigest()[:_USER_DIGITS]


class _Json(JsonFormatter):
    def __init__(self, stage: str) -> None:
        super().__init__(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields=_RENAMED,
            static_fields={"stage": stage},
            json_ensure_ascii=False,
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """ISO 8601 in UTC, with milliseconds."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Leave out what is empty."""
        return {name: value for name, value in log_data.items() if value is not None}
