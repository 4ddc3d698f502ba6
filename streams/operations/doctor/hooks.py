"""Finds hooks that were disabled because their addresses accepted nothing."""

from __future__ import annotations

from collections.abc import Iterator

from streams.hooks.store import list_hooks
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.topics import TopicMissing
from streams.operations.doctor.finding import Finding, ok, warn
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings
from streams.text import pluralize


def check(settings: Settings) -> Iterator[Finding]:
    """Read the hooks; without hooks, or without Kafka, which has its own check, there is no finding."""
    try:
        hooks = list_hooks(settings)
    except (KafkaUnavailable, TopicMissing):
        return
    disabled = [hook for hook in hooks if hook.disabled_at is not None]
    for hook in disabled:
        yield warn(
            f"hook {hook.name or hook.hook_id}",
            f"disabled since {hook.disabled_at:%Y-%m-%d %H:%M} UTC: {hook.disabled_because}",
            Remedy.HOOK(hook_id=hook.hook_id),
        )
    if hooks and not disabled:
        yield ok("hooks", pluralize(len(hooks), "hook is enabled", "hooks are enabled"))
