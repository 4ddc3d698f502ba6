"""Follows the topic ``keys`` for a gateway."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

from schemas import codec
from schemas.access import ApiKey
from schemas.clock import utc_now
from schemas.errors import CodecError, FacestreamError
from streams.api_keys.secrets import PresentedKey, parsed_key
from streams.kafka.log_tail import LogTail
from streams.kafka.topics import Topic
from streams.settings import Settings

log = logging.getLogger(__name__)

_LOOK_S = 0.25
"""How often it looks for changes: a key must be refused within two seconds of its revocation."""
STALE_S = 10.0
_NO_DIGEST = bytes(32)


class KeysUnknown(Exception):
    """Kafka has not answered for so long that a key may have been revoked meanwhile."""


class KeyWatcher:
    """All keys, read in a thread of its own; a context manager. Safe to use from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._tail = LogTail(settings, Topic.KEYS, self._forget)
        self._seen_at = float("-inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)

    def __enter__(self) -> Self:
        """Begin; return when every key has been read.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topic has not been created.
        """
        self._look()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._tail.close()

    @property
    def fresh(self) -> bool:
        """Whether Kafka has answered lately."""
        return time.monotonic() - self._seen_at < STALE_S

    def check(self, text: str) -> ApiKey | None:
        """The record of a key that somebody presents; None if it is unknown, revoked or over.

        It takes as long whether or not there is a key with this id.

        Raises:
            KeysUnknown: Kafka has not answered for ten seconds, so nobody knows whether it was revoked.
        """
        presented = parsed_key(text)
        if presented is None:
            return None
        if not self.fresh:
            raise KeysUnknown(f"Kafka has not told of revoked keys for {STALE_S:g} s")
        return self._valid(presented)

    def _valid(self, presented: PresentedKey) -> ApiKey | None:
        record = self._keys.get(presented.key_id)
        fits = presented.fits(_NO_DIGEST if record is None else record.secret_sha256)
        if record is None or not fits or record.revoked_at is not None:
            return None
        return record if record.expires_at is None or utc_now() < record.expires_at else None

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                self._look()
            except FacestreamError as error:
                log.warning("the keys cannot be read: %s", error)
            except Exception:
                log.exception("the keys cannot be read")

    def _look(self) -> None:
        began = time.monotonic()
        for message in self._tail.more():
            try:
                record = codec.decode(message.value, ApiKey)
                self._keys = {**self._keys, record.key_id: record}
            except CodecError:
                # Removed, or written by a later release, perhaps to revoke it: it counts no more.
                gone = (message.key or b"").decode(errors="replace")
                self._keys = {key_id: record for key_id, record in self._keys.items() if key_id != gone}
        self._seen_at = began

    def _forget(self) -> None:
        """The topic was deleted and made again: nobody's key counts any more."""
        self._keys = {}
