"""The example of docs/hooks.md checks what facestream signs, and refuses the rest."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.hooks.secrets import HookSecret

TEXT = Path("docs/hooks.md").read_text("utf-8")
SECRET = HookSecret(bytes(range(32)))
BODY = '{"type": "test", "data": {"user_id": "zoë"}}'.encode()


@pytest.fixture
def verified() -> Callable[..., bool]:
    (example,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    names: dict[str, Callable[..., bool]] = {}
    exec(example, names)
    return names["verified"]


def headers(at: int, message_id: str = "id-1") -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": SECRET.signature(message_id, at, BODY),
    }


def test_what_facestream_signs_is_verified(verified: Callable[..., bool]) -> None:
    now = int(time.time())
    assert verified(headers(now), BODY, SECRET.text)
    other = {"webhook-signature": f"v1a,abc v1,AAAA {headers(now)['webhook-signature']}"}
    assert verified(headers(now) | other, BODY, SECRET.text), "a signature of another key stands beside it"


def test_everything_else_is_not(verified: Callable[..., bool]) -> None:
    now = int(time.time())
    assert not verified(headers(now), BODY + b" ", SECRET.text)
    assert not verified(headers(now), BODY, HookSecret(b"x" * 32).text)
    assert not verified(headers(now) | {"webhook-id": "id-2"}, BODY, SECRET.text)
    assert not verified(headers(now) | {"webhook-timestamp": str(now - 1)}, BODY, SECRET.text)
    assert not verified(headers(now - 1_000), BODY, SECRET.text), "it is old"
    assert not verified(headers(now + 1_000), BODY, SECRET.text)
