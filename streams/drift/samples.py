"""The topic ``drift-references``: what a drift worker knows of its cameras, for the one that comes after it.

Two records a camera and model version: the reference, written when it is complete and seldom again, and the present.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from schemas import codec
from schemas.errors import CodecError
from schemas.events import DriftSample
from streams.kafka.log_reader import LogReader
from streams.kafka.topics import Topic
from streams.settings import Settings


class Part(StrEnum):
    """Which of the two records."""

    REFERENCE = "reference"
    CURRENT = "current"


@dataclass(frozen=True, slots=True)
class CameraKey:
    """One camera of a user with one model version; vectors of two versions are never compared."""

    user_id: str
    camera_id: str
    model_version: str

    def message_key(self, part: Part) -> bytes:
        """By which the record is compacted."""
        return json.dumps([part, self.user_id, self.camera_id, self.model_version], ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Saved:
    """One record and the partition number that it is of."""

    number: int
    camera: CameraKey
    part: Part
    sample: DriftSample


def read_samples(settings: Settings, numbers: Collection[int]) -> Iterator[Saved]:
    """The last record of each camera of these partitions. Records that cannot be read are left out: the camera begins
    anew.

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
