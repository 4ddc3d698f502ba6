"""What every request needs: settings, the clients of Kafka and Redis, the keys, and what is under way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from sinks.bigquery.user_history import UserHistory
from sinks.redis.live import LiveStreams
from sinks.redis.sighting_results import SightingResults
from streams.api_keys.watcher import KeyWatcher
from streams.client.client import Client
from streams.gateway.claims import EventClaims
from streams.gateway.limits import ByteBudget, KeyCounter
from streams.gateway.rate import RateLimit
from streams.gateway.slow import SlowCalls
from streams.gateway.usage import Usage
from streams.settings import Settings


@dataclass(slots=True)
class Context:
    """Of one gateway; ``keys`` is None where it asks for no key."""

    settings: Settings
    client: Client
    keys: KeyWatcher | None
    usage: Usage
    bodies: ByteBudget
    requests: KeyCounter
    readers: KeyCounter
    live: LiveStreams
    rate: RateLimit
    claims: EventClaims
    sightings: SightingResults
    history: UserHistory
    slow: SlowCalls
    draining: asyncio.Event = field(default_factory=asyncio.Event)


def context(connection: HTTPConnection) -> Context:
    """The context of the gateway that has the request."""
    found: Context = connection.app.state.context
    return found
