"""What the role counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from streams.observability.metrics import shown_by
from streams.roles import Role

_HOOKS = (Role.HOOKS,)
POSTED = shown_by(
    _HOOKS,
    Counter(
        "facestream_hook_deliveries",
        "Events for the addresses of hooks: delivered, given_up, dropped with their hook, or failed, for each attempt.",
        ["outcome"],
    ),
)
WAITING = shown_by(
    _HOOKS, Gauge("facestream_hook_waiting_events", "Events that the addresses of hooks have not accepted yet.")
)
ANSWER_S = shown_by(
    _HOOKS,
    Histogram(
        "facestream_hook_answer_seconds",
        "Time until the address of a hook has answered, or it was clear that it does not.",
        buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
    ),
)
