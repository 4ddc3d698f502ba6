"""Posts one signed message to a hook, to see whether its address accepts it."""

from __future__ import annotations

import asyncio

from schemas.as_json import time_text
from schemas.clock import utc_now
from schemas.hooks import Hook
from schemas.ids import new_event_id
from streams.hooks.messages import trial_body
from streams.hooks.post import Poster, PostResult
from streams.hooks.secrets import load_hook_key
from streams.settings import Settings


def try_hook(settings: Settings, hook: Hook) -> PostResult:
    """Post a message of the type ``test`` from this machine, once.

    Raises:
        NoHookKey: it cannot be signed here.
    """
    secret = load_hook_key(settings).secret_of(hook)

    async def post() -> PostResult:
        async with Poster(settings) as poster:
            return await poster.post(hook.address, secret, new_event_id(), trial_body(hook, time_text(utc_now())))

    return asyncio.run(post())
