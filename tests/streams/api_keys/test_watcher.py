"""Which keys count, by what a gateway has read of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from schemas import codec
from schemas.access import ApiKey, Scope
from schemas.clock import utc_now
from streams.api_keys.secrets import new_key
from streams.api_keys.watcher import KeyWatcher
from streams.kafka.messages import Message, TopicPartition
from streams.settings import Settings


@pytest.mark.parametrize("last", [None, b"\xc3\x01 of a later release"], ids=["removed", "unreadable"])
def test_a_key_whose_last_record_cannot_be_read_counts_no_more(last: bytes | None) -> None:
    keys = [new_key(), new_key()]
    records = [ApiKey(one.key_id, one.digest, [Scope.READ], utc_now(), "tests", all_users=True) for one in keys]
    values = [(one.key_id, codec.encode(one)) for one in records]
    watcher = KeyWatcher(Settings(kafka="127.0.0.1:1"))

    def come(*some: tuple[str, bytes | None]) -> None:
        messages = [
            Message(TopicPartition("keys", 0), n, 0, key.encode(), value) for n, (key, value) in enumerate(some)
        ]
        watcher._tail = cast(Any, SimpleNamespace(more=lambda: iter(messages)))
        watcher._look()

    come(*values)
    assert [watcher.check(one.text) for one in keys] == records
    come((keys[0].key_id, last))
    assert [watcher.check(one.text) for one in keys] == [None, records[1]]
