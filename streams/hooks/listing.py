"""What the command line and the gateway say of hooks, and the words by which they name events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from schemas.as_json import to_json
from schemas.clock import utc_now
from schemas.hooks import Hook, HookKind
from streams.hooks.backlog import Waiting
from streams.hooks.pending_log import read_waiting
from streams.hooks.store import HookNotMade, list_hooks
from streams.settings import Settings


def kinds_of(words: Iterable[str]) -> set[HookKind]:
    """The kinds that words name: each is a kind, or its first half, which stands for all of these.

    Raises:
        HookNotMade: a word names none.
    """
    kinds = set()
    for word in words:
        found = {kind for kind in HookKind if word in (kind.value, kind.value.partition(".")[0])}
        if not found:
            raise HookNotMade(f"{word[:40]!r} is no kind of events; there are {', '.join(HookKind)}")
        kinds |= found
    return kinds


def listed(settings: Settings) -> list[tuple[Hook, dict[str, Any]]]:
    """All hooks, the oldest first, each with what is said of it and of what waits for it.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: a topic has not been created.
    """
    hooks = list_hooks(settings)
    waiting: dict[str, list[Waiting]] = defaultdict(list)
    for one in read_waiting(settings) if hooks else ():
        waiting[one.hook_id].append(one)
    return [(hook, hook_json(hook, waiting[hook.hook_id])) for hook in hooks]


def hook_json(hook: Hook, waiting: Sequence[Waiting] = ()) -> dict[str, Any]:
    """What is said of a hook; its secret is not in it."""
    oldest = min((one.queued_at for one in waiting), default=None)
    return to_json(hook) | {
        "status": "enabled" if hook.disabled_at is None else "disabled",
        "waiting": len(waiting),
        "oldest_s": None if oldest is None else (utc_now() - oldest).total_seconds(),
    }
