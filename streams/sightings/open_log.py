"""The topic ``open-sightings``: what is known of each camera, for the worker that takes its partition over."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from schemas import codec
from schemas.errors import CodecError
from schemas.sightings import OpenSightings
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class CameraKey:
    """One camera of a user."""

    user_id: str
    camera_id: str

    @classmethod
    def of(cls, known: OpenSightings) -> CameraKey:
        """The camera of a record."""
        return cls(known.user_id, known.camera_id)

    @property
    def message_key(self) -> bytes:
        """The key of the camera's record, by which the topic is compacted."""
        return json.dumps([self.user_id, self.camera_id], ensure_ascii=False).encode()


def read_open(settings: Settings, numbers: Collection[int]) -> Iterator[tuple[int, OpenSightings]]:
    """The last record of each camera in these partitions, with the number of the partition.

    A camera whose record cannot be read starts again.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    last: dict[tuple[int, bytes], bytes | None] = {}
    for message in read_topic(settings, Topic.OPEN_SIGHTINGS, numbers):
        last[message.source.partition, message.key or b""] = message.value
    for (number, _), value in last.items():
        try:
            yield number, codec.decode(value, OpenSightings)
        except CodecError:
            continue
