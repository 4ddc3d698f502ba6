"""What a commit carries beside its offset: when it was made, and how the gallery shard was then.

A commit is read by everybody on every machine, also when the worker that made it is gone; so this is where ops learn
how many users and templates a partition holds, without asking a worker or reading the gallery.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace

_MARK = "facestream:"


@dataclass(frozen=True, slots=True)
class ShardSize:
    """What a gallery shard holds; templates of every model version count."""

    users: int
    templates: int


@dataclass(frozen=True, slots=True)
class CommitMetadata:
    """The metadata of one partition's commit.

    Attributes:
        at: when it was made, seconds since 1970 by the worker's clock; None if it does not say.
        size: of the gallery shard then; None for roles that hold none.
        text: what the sink wants back at its next assignment.
        topic_id: of the topic; None if it does not say.
        copied: the topic is a copy of an earlier one: the offset is of this one, and what ``text`` says of offsets is
            of the earlier one.
    """

    at: float | None = None
    size: ShardSize | None = None
    text: str = ""
    topic_id: str | None = None
    copied: bool = False

    @classmethod
    def parse(cls, metadata: str | None) -> CommitMetadata:
        """Read it; metadata of others is all text. The Python client of librdkafka ends it with a NUL."""
        metadata = (metadata or "").rstrip("\x00")
        if not metadata or not metadata.startswith(_MARK):
            return cls(text=metadata)
        head, _, text = metadata.removeprefix(_MARK).partition("\n")
        try:
            values = json.loads(head)
            size = ShardSize(int(values["users"]), int(values["templates"])) if "users" in values else None
            topic_id = values.get("topic")
            copied = values.get("copied") is True
            return cls(float(values["at"]), size, text, None if topic_id is None else str(topic_id), copied)
        except (ValueError, KeyError, TypeError):
            return cls(text=metadata)

    def now(self) -> str:
        """The metadata of a commit that is made now."""
        note = replace(self, at=time.time())
        values: dict[str, float | str | bool] = {"at": round(note.at or 0.0, 3)}
        if note.size is not None:
            values |= {"users": note.size.users, "templates": note.size.templates}
        if note.topic_id is not None:
            values["topic"] = note.topic_id
        if note.copied:
            values["copied"] = True
        return f"{_MARK}{json.dumps(values, separators=(',', ':'))}\n{note.text}"
