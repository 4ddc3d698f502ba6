"""The event of the topic ``keys``: who may use the HTTP gateway, and for what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What a key may be used for."""

    UPLOAD = "upload"
    FRAME = "frame"
    READ = "read"
    SEARCH = "search"
    ERASE = "erase"
    OPS = "ops"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of the HTTP gateway, by the digest of its secret."""

    key_id: str
    secret_sha256: bytes
    scopes: list[str]
    created_at: datetime
    created_by: str
    users: list[str] = field(default_factory=list)
    all_users: bool = False
    name: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
