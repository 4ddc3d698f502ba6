"""Cuts faces with confirmed or corrected identities out of their frames, as long as Kafka keeps the frames."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from models.analysis import chips
from models.analysis.realigner import Realigner
from models.embedder.card import ChipGeometry
from models.evaluation.groups import CAMERA
from models.pictures.decoder import decode
from models.training.samples import Correction, Sample
from schemas import codec
from schemas.errors import CodecError
from schemas.ingest import Frame
from schemas.learning import Feedback, Statement
from schemas.parts import Refusal
from schemas.replays import OffsetRange
from streams.embedding.payload import PayloadUnavailable, fetch
from streams.kafka.log_reader import LogReader
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.settings import Settings


@dataclass(slots=True)
class ConfirmedFaces:
    """The training data in feedback.

    Attributes:
        samples: confirmed faces.
        corrections: faces that were or might be taken for a person of the training set, and are not that person's. They
            may show strangers: whoever lets models learn from such a face is responsible for the stranger's agreement.
        without_consent: faces of people who have not agreed that models learn from them, or have withdrawn that.
        gone: frames that Kafka does not have any more, or whose picture cannot be read.
    """

    samples: list[Sample] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    without_consent: int = 0
    gone: int = 0


def confirmed(
    settings: Settings, feedback: Iterable[Feedback], people: Collection[str], geometry: ChipGeometry
) -> ConfirmedFaces:
    """Cut the confirmed faces out of their frames.

    Args:
        settings: where the frames are.
        feedback: the last feedback on each face.
        people: the people whose consent to training is valid, as ``Sample.person`` names them.
        geometry: of the chips of the model that is trained.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic ``frames`` has not been created.
    """
    found = ConfirmedFaces()
    wanted: dict[tuple[int, int], list[Feedback]] = defaultdict(list)
    for one in feedback:
        if not one.training:
            continue
        if f"{one.user_id}/{one.subject_id}" not in people:
            found.without_consent += 1
        else:
            wanted[one.source.partition, one.source.offset].append(one)
    realigner = Realigner(geometry)
    for message in _frames(settings, wanted):
        for one in wanted.pop((message.source.partition, message.offset)):
            face = _face(message, one, settings, realigner)
            if face is None:
                found.gone += 1
                continue
            jpeg, camera = face
            event_id = f"{one.event_id}/{one.face}"
            if (never := _taken_for(one, people)) is None:
                known = {CAMERA: camera}
                found.samples.append(Sample(event_id, one.user_id, one.subject_id, jpeg, one.quality.overall, known))
            else:
                whose = one.subject_id if one.statement is Statement.IS else None
                found.corrections.append(Correction(event_id, one.user_id, never, jpeg, whose))
    found.gone += sum(map(len, wanted.values()))
    return found


def _taken_for(feedback: Feedback, people: Collection[str]) -> str | None:
    """The subject whose face it is not; None unless it is one of the training set."""
    if feedback.statement is Statement.IS_NOT:
        return feedback.subject_id
    other = feedback.matched_subject_id
    return other if other not in (None, feedback.subject_id) and f"{feedback.user_id}/{other}" in people else None


def _frames(settings: Settings, places: Iterable[tuple[int, int]]) -> Iterator[Message]:
    """The messages at these partitions and offsets that still exist, one of each partition at a time."""
    with LogReader(settings, Topic.FRAMES) as log:
        there = {one.partition: one for one in log.since({})}
        left: dict[int, deque[int]] = defaultdict(deque)
        for partition, offset in sorted(places):
            held = there.get(partition)
            if held is not None and held.first_offset <= offset < held.end_offset:
                left[partition].append(offset)
        while left:
            offsets = {partition: waiting.popleft() for partition, waiting in left.items()}
            yield from log.messages([OffsetRange(number, at, at, at + 1) for number, at in offsets.items()])
            left = defaultdict(deque, {partition: waiting for partition, waiting in left.items() if waiting})


def _face(message: Message, feedback: Feedback, settings: Settings, realigner: Realigner) -> tuple[bytes, str] | None:
    """The chip as JPEG, and the camera; None if the message is not the frame, or no face can be seen in its picture."""
    try:
        frame = codec.decode(message.value, Frame)
        picture = fetch(frame.picture, settings)
    except (CodecError, PayloadUnavailable):
        return None
    if frame.event_id != feedback.event_id or isinstance(picture, Refusal):
        return None
    raster = decode(picture, max_bytes=settings.max_picture_bytes, max_pixels=settings.max_picture_pixels)
    if isinstance(raster, Refusal):
        return None
    points = np.array(feedback.landmarks, np.float64).reshape(-1, 2) * (raster.pixels.shape[1] / raster.width)
    chip = realigner.from_picture(raster.pixels, points)
    return None if chip is None else (chips.encode(chip), frame.camera_id)
