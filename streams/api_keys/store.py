"""Makes, lists and revokes keys on the topic ``keys``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from schemas import codec
from schemas.access import ApiKey, Scope
from schemas.clock import utc_now
from schemas.ids import checked_name
from streams.api_keys.secrets import PresentedKey, new_key
from streams.kafka.log_reader import read_events
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.made_by import made_by
from streams.settings import Settings


class KeyNotMade(Exception):
    """A key cannot be made so; the message says why."""


class NoSuchKey(Exception):
    """There is no such key."""


def create_key(
    settings: Settings,
    scopes: Collection[Scope],
    *,
    users: Sequence[str] = (),
    all_users: bool = False,
    name: str = "",
    expires_at: datetime | None = None,
) -> tuple[PresentedKey, ApiKey]:
    """Make a key, and wait until Kafka has its record; the key itself is nowhere but in the first value.

    Args:
        settings: of the cluster.
        scopes: what it may be used for.
        users: whose data it reaches.
        all_users: whether it reaches the data of everybody; then there are no ``users``.
        name: what it is for.
        expires_at: when it ends, with a timezone; None: it does not.

    Raises:
        KeyNotMade: it would allow nothing, or has ended already.
        InvalidId: a user's name is not accepted.
        KafkaUnavailable: no broker answers.
    """
    now = utc_now()
    if not scopes:
        raise KeyNotMade("a key without a scope allows nothing: name at least one")
    if bool(users) == all_users:
        raise KeyNotMade("a key is either for named users or for all users")
    if expires_at is not None and expires_at <= now:
        raise KeyNotMade(f"{expires_at.isoformat()} has passed: a key must end later")
    presented = new_key()
    record = ApiKey(
        key_id=presented.key_id,
        secret_sha256=presented.digest,
        scopes=[scope.value for scope in Scope if scope in scopes],
        created_at=now,
        created_by=made_by(),
        users=sorted({checked_name("user_id", user) for user in users}),
        all_users=all_users,
        name=name,
        expires_at=expires_at,
    )
    _write(settings, record)
    return presented, record


def list_keys(settings: Settings) -> list[ApiKey]:
    """All keys, also those that have ended; the oldest first.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    newest = {record.key_id: record for _, record in read_events(settings, Topic.KEYS, ApiKey)}
    return sorted(newest.values(), key=lambda record: (record.created_at, record.key_id))


def revoke_key(settings: Settings, key: str) -> ApiKey:
    """Revoke a key, and wait until Kafka has it. Every gateway refuses the key within two seconds.

    Args:
        settings: of the cluster.
        key: its id, with or without ``fs_``; the whole key does as well.

    Raises:
        NoSuchKey: there is none.
        KafkaUnavailable: no broker answers.
    """
    key_id = key.removeprefix("fs_").partition("_")[0]
    record = next((one for one in list_keys(settings) if one.key_id == key_id), None)
    if record is None:
        raise NoSuchKey(f"there is no key fs_{key_id}: see `facestream keys list`")
    if record.revoked_at is None:
        record = replace(record, revoked_at=utc_now())
        _write(settings, record)
    return record


def _write(settings: Settings, record: ApiKey) -> None:
    RecordWriter(settings, Topic.KEYS).write(record.key_id, codec.encode(record))
