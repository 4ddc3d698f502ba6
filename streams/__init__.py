"""What flows: topics, agents, the client and the command line.

Its own public names come when they are first used, so that the command line starts quickly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.client.client import Client as Client
    from streams.client.delivery_report import DeliveryHandle as DeliveryHandle
    from streams.client.producer import Producer as Producer
    from streams.settings import Settings as Settings

_HOME = {
    "Client": "streams.client.client",
    "DeliveryHandle": "streams.client.delivery_report",
    "Producer": "streams.client.producer",
    "Settings": "streams.settings",
}

__all__ = ["Client", "DeliveryHandle", "Producer", "Settings"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value
