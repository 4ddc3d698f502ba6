from __future__ import annotations

import base64
import dataclasses
import stat
from pathlib import Path

import pytest

from schemas.hooks import Hook
from streams.hooks.secrets import HookKey, HookSecret, NoHookKey, load_hook_key, load_or_make_hook_key
from streams.settings import Settings
from tests.sinks.examples import NOW


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks, also in the tests of its libraries."""
    secret = HookSecret(base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    body = b'{"test": 2432232314}'
    assert (
        secret.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_each_hook_has_a_secret_of_its_own_that_is_not_shown_by_chance(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    key = load_or_make_hook_key(settings)
    assert stat.S_IMODE(settings.hook_key_path.stat().st_mode) == 0o600
    assert [path.name for path in settings.hook_key_path.parent.iterdir()] == ["hooks.key"]
    assert load_or_make_hook_key(settings) == load_hook_key(settings) == key
    one, two = (key.secret(name, "https://example.org/", None, []) for name in ("hook-1", "hook-2"))
    assert one != two and len(one.raw) == 32 and one.text.startswith("whsec_")
    assert base64.b64decode(one.text.removeprefix("whsec_")) == one.raw
    for text in (repr(one), repr(key)):
        assert repr(one.raw) not in text and repr(key.raw) not in text


def test_a_key_that_is_missing_short_or_another_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(NoHookKey, match=r"hooks\.key"):
        load_hook_key(settings)
    settings.hook_key_path.write_text("short\n")
    with pytest.raises(NoHookKey, match="no key"):
        load_hook_key(settings)
    key, address = HookKey(b"a" * 32), "https://example.org/"
    hook = Hook("hook-1", address, ["test"], key.secret("hook-1", address, "anna", ["test"]).digest, NOW, "me", "anna")
    assert key.secret_of(hook).digest == hook.secret_sha256
    with pytest.raises(NoHookKey, match="not made with this key file"):
        HookKey(b"b" * 32).secret_of(hook)
    for change in ({"address": "https://example.com/"}, {"user_id": None}, {"kinds": ["test", "sighting.end"]}):
        with pytest.raises(NoHookKey):
            key.secret_of(dataclasses.replace(hook, **change))
