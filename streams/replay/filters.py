"""Which messages of a topic are replayed, and how they look when they are sent again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from schemas import codec
from schemas.embeddings import Embedding, FrameOrigin, Reembedding
from schemas.errors import CodecError
from schemas.ids import canonical, event_id_or_same
from schemas.ingest import Frame, Upload
from schemas.parts import Source
from schemas.replays import Replay
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.privacy.erasures import Erasures
from streams.replay.errors import ReplayError

Replayable = Upload | Frame | Embedding
EVENT_TYPES: Mapping[Topic, type[Replayable]] = {
    Topic.FRAMES: Frame,
    Topic.UPLOADS: Upload,
    Topic.EMBEDDINGS: Embedding,
}
"""The topics that can be replayed, and what they hold."""


@dataclass
class ReplayFilter:
    """Chooses events of one topic; empty filters let all pass.

    Events of people who were erased later are not chosen, since the workers would refuse them; ``erased`` counts them.
    ``missing`` are users and events that were asked for and have not been met. Replays are never chosen, or replaying a
    range twice would replay the first replay as well; nor is a template's new vector, which answers nobody.
    """

    topic: Topic
    users: list[str] = field(default_factory=list)
    camera_id: str | None = None
    event_ids: list[str] = field(default_factory=list)
    model_version: str | None = None
    unreadable: int = 0
    erasures: Erasures = field(default_factory=Erasures)
    erased: int = 0

    def __post_init__(self) -> None:
        self.users = [canonical(name) for name in self.users]
        self.camera_id = None if self.camera_id is None else canonical(self.camera_id)
        self.event_ids = [event_id_or_same(one) for one in self.event_ids]

    @classmethod
    def of(cls, replay: Replay) -> ReplayFilter:
        """What a replay was to send."""
        topic = Topic(replay.topic)
        model_version = replay.model_version if topic is Topic.EMBEDDINGS else None
        return cls(topic, replay.users, replay.camera_id, replay.event_ids, model_version)

    @property
    def is_whole(self) -> bool:
        """Whether there is no filter."""
        return not (self.users or self.camera_id or self.event_ids or self.model_version)

    @cached_property
    def missing(self) -> set[str]:
        """Users and events that were asked for and not found so far."""
        return {f"user {name!r}" for name in self.users} | {f"event {one}" for one in self.event_ids}

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(self.users)

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(self.event_ids)

    def choose(self, message: Message) -> Replayable | None:
        """The event in a message, or None if it is not to be replayed."""
        if self._keys and canonical((message.key or b"").decode(errors="replace")) not in self._keys:
            return None
        if self._ids and codec.event_id(message.value) not in self._ids:
            return None
        if codec.kind(message.value) is Reembedding:
            return None
        try:
            event = codec.decode(message.value, EVENT_TYPES[self.topic])
        except CodecError:
            self.unreadable += 1
            return None
        if event.replay_id is not None or not self._fits(event):
            return None
        if self.missing:
            self.missing.discard(f"user {event.user_id!r}")
            self.missing.discard(f"event {event.event_id}")
        if self._is_erased(event, message):
            self.erased += 1
            return None
        return event

    def marked(self, message: Message, replay_id: str, corrects: bool) -> tuple[str, bytes] | None:
        """The id of a message's event and the event as the replay sends it, or None if it is not to be replayed."""
        if self.is_whole and self.topic is Topic.EMBEDDINGS and not self._may_be_erased(message):
            value = codec.marked(message.value, Embedding, replay_id, corrects)
            event_id = codec.event_id(value)
            if value is not None and event_id is not None:
                return event_id, value
        event = self.choose(message)
        return None if event is None else (event.event_id, stamped(event, message, replay_id, corrects))

    def _may_be_erased(self, message: Message) -> bool:
        return self.erasures.names(canonical((message.key or b"").decode(errors="replace")))

    def _is_erased(self, event: Replayable, message: Message) -> bool:
        """Whether the workers would refuse it, since its user, subject or photo was erased after it first came in."""
        if isinstance(event, Embedding):
            return self.erasures.covers_embedding(event)
        at_ms, subject_id = message.timestamp_ms, event.subject_id
        if isinstance(event, Upload) and self.erasures.covers_photo(
            at_ms, event.user_id, event.subject_id, event.event_id, event.picture.sha256
        ):
            return True
        return self.erasures.covers(at_ms, event.user_id, () if subject_id is None else (subject_id,))

    def _fits(self, event: Replayable) -> bool:
        if self.model_version and isinstance(event, Embedding) and event.model_version != self.model_version:
            return False
        if self.camera_id is None:
            return True
        maker = event.origin if isinstance(event, Embedding) else event
        return isinstance(maker, Frame | FrameOrigin) and maker.camera_id == self.camera_id

    def check_found(self) -> None:
        """Check that every user and event that was asked for has been met.

        Raises:
            ReplayError: one has not.
        """
        if self.missing:
            listed = ", ".join(sorted(self.missing)[:5]) + (", …" if len(self.missing) > 5 else "")
            raise ReplayError(f"there is no {listed} on {self.topic} in that time: nothing was sent")


def stamped(event: Replayable, message: Message, replay_id: str, corrects: bool) -> bytes:
    """The encoded event as the replay sends it: marked, and knowing where it first came in."""
    if isinstance(event, Embedding):
        return codec.encode(replace(event, replay_id=replay_id, corrects=corrects))
    source = Source(message.source.topic, message.source.partition, message.offset)
    at = codec.from_micros(message.timestamp_ms * 1000)
    return codec.encode(replace(event, source=source, produced_at=at, replay_id=replay_id, corrects=corrects))
