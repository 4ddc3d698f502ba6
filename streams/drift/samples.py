"""The topic ``drift-references``: the state of each camera, for the worker that takes its partition over.

There are two records for each camera and model version: the reference sample, which is written when it is complete and
seldom again, and the current sample.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from schemas import codec
from schemas.drift import DriftSample
from schemas.errors import CodecError
from streams.kafka.log_reader import LogReader
from streams.kafka.topics import Topic
from streams.settings import Settings


class Part(StrEnum):
    """One of the two records of a camera."""

    REFERENCE = "reference"
    CURRENT = "current"


@dataclass(frozen=True, slots=True)
class CameraKey:
    """One camera of a user with one model version; vectors of two versions are never compared."""

    user_id: str
    camera_id: str
    model_version: str

    def message_key(self, part: Part) -> bytes:
        """The key of a record, by which the topic is compacted."""
        return json.dumps([part, self.user_id, self.camera_id, self.model_version], ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Saved:
    """One record, and the number of its partition."""

    number: int
    camera: CameraKey
    part: Part
    sample: DriftSample


def read_samples(settings: Settings, numbers: Collection[int]) -> Iterator[Saved]:
    """The last records of each camera in these partitions; a camera whose records cannot be read starts again.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    last: dict[tuple[int, bytes], bytes | None] = {}
    with LogReader(settings, Topic.DRIFT_REFERENCES) as log:
        for message in log.messages([one for one in log.since({}) if one.partition in numbers]):
            last[message.source.partition, message.key or b""] = message.value
    for (number, key), value in last.items():
        try:
            sample = codec.decode(value, DriftSample)
            part = Part(json.loads(key)[0])
        except (CodecError, ValueError, IndexError, KeyError):
            continue
        yield Saved(number, CameraKey(sample.user_id, sample.camera_id, sample.model_version), part, sample)
