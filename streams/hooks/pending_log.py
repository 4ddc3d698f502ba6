"""The topic ``hook-deliveries``: what is still to be posted, for the worker that takes its partition over."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from schemas import codec
from schemas.errors import CodecError
from schemas.hooks import HookDelivery
from schemas.results import Enrolment
from schemas.sightings import Sighting
from streams.hooks.backlog import Waiting
from streams.hooks.messages import HookedEvent
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.privacy.erasures import named
from streams.settings import Settings


def message_key(one: Waiting) -> bytes:
    """The key of an event's record, by which the topic is compacted."""
    return " ".join(one.key).encode()


def record(one: Waiting) -> bytes:
    """The record of an event that waits."""
    hook_id, message_id = one.key
    return codec.encode(HookDelivery(hook_id, message_id, one.event.user_id, one.queued_at, codec.encode(one.event)))


def read_waiting(settings: Settings, numbers: Collection[int] | None = None) -> list[Waiting]:
    """What waits in these partitions (None: all), the oldest first.

    A record that cannot be read is left out: it is of a later release, which posts it.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    last: dict[tuple[int, bytes], bytes] = {}
    for message in read_topic(settings, Topic.HOOK_DELIVERIES, numbers):
        key = message.source.partition, message.key or b""
        if message.value is None:
            last.pop(key, None)
        else:
            last[key] = message.value
    found = []
    for (number, _), value in last.items():
        try:
            delivery = codec.decode(value, HookDelivery)
            found.append(Waiting(delivery.hook_id, _event(delivery.event), number, delivery.queued_at))
        except CodecError:
            continue
    return sorted(found, key=lambda one: one.queued_at)


def _event(data: bytes) -> HookedEvent:
    if codec.kind(data) is Sighting:
        return codec.decode(data, Sighting)
    return codec.decode(data, Enrolment)


@dataclass(frozen=True, slots=True)
class WhoIsErased:
    """Whose events are not to be posted any more: a user's, one of his subjects', or those of uploads of a subject."""

    user_id: str
    subject_id: str | None
    uploads: frozenset[str] | None = None

    def is_in(self, event: HookedEvent) -> bool:
        """Whether an event is about them, or names them."""
        if self.uploads is not None:
            return isinstance(event, Enrolment) and event.user_id == self.user_id and event.event_id in self.uploads
        return event.user_id == self.user_id and (self.subject_id is None or self.subject_id in named(event))

    def taken_out_of(self, event: HookedEvent) -> HookedEvent | None:
        """An event that is about somebody else without their name; None if it is about them."""
        if isinstance(event, Enrolment) and self.subject_id is not None and event.subject_id != self.subject_id:
            return replace(event, similar_subject_id=None, detail=None)
        return None
