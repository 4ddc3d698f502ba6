"""The role drift: a stateful processor of embeddings and matches that reports when a camera has changed.

It takes batches (see ``streams.engine.batch_worker``), but writes to no store: its state is what it knows of the
cameras. Every few seconds that state is written to ``drift-references``, and each commit carries the offset up to which
it is written. A worker that takes a partition over reads again from there; every record of the state says which
messages it has counted, so that none counts twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Lock

from models.drift.monitor import MonitorPlan
from models.embedder.card import Card
from schemas import codec
from schemas.drift import Drift
from schemas.embeddings import Embedding, Face, FrameOrigin
from schemas.erasure import ErasedPhoto
from schemas.ingest import Mode
from schemas.results import Match
from sinks.base import Delivery, Position, RewindRequest, SinkUnavailable
from streams.dead_letters.sender import Outbox, Outgoing
from streams.drift import metrics
from streams.drift.camera import CameraMonitor
from streams.drift.samples import CameraKey, Part, read_samples
from streams.engine.locked import locked
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.messages import TopicPartition
from streams.kafka.topics import Topic, TopicMissing
from streams.model_registry.published_cards import PublishedCards
from streams.observability import logs
from streams.roles import Role
from streams.settings import Settings

log = logging.getLogger(__name__)

_SAVE_S = 10.0


class DriftProcessor:
    """Counts frames and decisions by camera, and reports drift; a :class:`sinks.base.BatchProcessor`.

    Replays do not count.
    """

    def __init__(self, settings: Settings, cards: Iterable[Card], plan: MonitorPlan | None = None) -> None:
        """``cards`` are of the model versions whose distances are known."""
        self.lock = Lock()
        self._settings = settings
        self._cards = PublishedCards(settings, cards)
        self._plan = plan or MonitorPlan(settings.drift_reference, settings.drift_window)
        self._cameras: dict[int, dict[CameraKey, CameraMonitor]] = {}
        self._written: dict[TopicPartition, int] = {}
        """The next offsets to count."""
        self._saved: dict[TopicPartition, int] = {}
        """The next offsets behind what was counted and written."""
        self._save_at = 0.0
        self._reports: list[tuple[int, Drift]] = []
        """Reports that are not delivered yet, with their partition numbers."""
        self._outbox = Outbox(Role.DRIFT, settings)

    @locked
    def assign(self, positions: Sequence[Position]) -> Mapping[TopicPartition, RewindRequest]:
        """Restore what the previous owner has written; ask for what it has not to be read again."""
        numbers = {position.partition.partition for position in positions}
        cameras: dict[int, dict[CameraKey, CameraMonitor]] = {number: {} for number in numbers}
        try:
            for saved in read_samples(self._settings, numbers):
                found = cameras[saved.number]
                found.setdefault(saved.camera, self._camera(saved.camera)).restore(saved.part, saved.sample)
        except (KafkaUnavailable, TopicMissing) as error:
            raise SinkUnavailable(str(error)) from error
        self._forget(numbers)
        self._cameras.update(cameras)
        again = {}
        for position in positions:
            saved_to = int(position.note or position.offset) if not position.renewed else position.offset
            self._saved[position.partition] = self._written[position.partition] = saved_to
            if saved_to < position.offset:
                again[position.partition] = RewindRequest(saved_to, self._settings.retention_hours * 3600)
        if renewed := [position.partition for position in positions if position.renewed]:
            topics = {topic.named(self._settings): topic for topic in (Topic.EMBEDDINGS, Topic.MATCHES)}
            for partition in renewed:
                for camera in self._cameras[partition.partition].values():
                    camera.count_again(topics[partition.topic])
            self._save()
        return again

    @locked
    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop the state of partitions; their next owner begins where the written state ends."""
        for partition in partitions:
            self._written.pop(partition, None)
            self._saved.pop(partition, None)
        self._forget({partition.partition for partition in partitions})

    def note(self, partition: TopicPartition) -> str:
        """The offset up to which the state is written."""
        return str(self._saved[partition])

    @locked
    def write(self, batch: Sequence[Delivery[Embedding | Match]]) -> None:
        """Count frames and decisions; deliver reports, and every few seconds the state.

        Raises:
            SinkUnavailable: Kafka does not take them; what was counted is not counted again.
        """
        # Frames first: a decision is about a face that has been counted.
        for one in sorted(batch, key=lambda delivery: isinstance(delivery.event, Match)):
            self._reports += [(one.partition.partition, report) for report in self._count(one)]
            self._written[one.partition] = one.offset + 1
        saves = time.monotonic() >= self._save_at or any(report.alarm for _, report in self._reports)
        topic = Topic.DRIFT.named(self._settings)
        self._outbox.send(
            [Outgoing(topic, report.user_id.encode(), codec.encode(report), n) for n, report in self._reports]
        )
        self._reports.clear()
        if saves:
            self._save()

    @locked
    def erase(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Drop the state of all cameras of the user: it does not say which subject a face belongs to.
        Raises:
            SinkUnavailable: Kafka does not take the tombstones.
        """
        gone = [
            (number, camera)
            for number, cameras in self._cameras.items()
            for key, camera in cameras.items()
            if key.user_id == user_id
        ]
        topic = Topic.DRIFT_REFERENCES.named(self._settings)
        self._outbox.send(
            [Outgoing(topic, camera.key.message_key(part), None, n) for n, camera in gone for part in Part]
        )
        for number, camera in gone:
            del self._cameras[number][camera.key]
            metrics.forget(camera.labels)
        return {"drift_references": len(gone)}

    def erase_photo(
        self,
        user_id: str,
        subject_id: str,
        photo: ErasedPhoto,
        *,
        erasure_id: str,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Nothing to do: photos are not counted."""
        return {}

    def erase_in_searches(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str,
        partition: int,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Nothing to do: searches are not counted."""
        return {}

    def _count(self, delivery: Delivery[Embedding | Match]) -> list[Drift]:
        event, number = delivery.event, delivery.partition.partition
        if _of_no_camera(event):
            return []
        if isinstance(event, Match) and event.replay_id is None:
            key = CameraKey(event.user_id, event.camera_id, event.model_version)
            self._known(number, key).matched(event, delivery.offset)
        if not isinstance(event, Embedding) or event.replay_id is not None or not isinstance(event.origin, FrameOrigin):
            return []
        reports = []
        for version, faces in _by_version(event):
            camera = self._known(number, CameraKey(event.user_id, event.origin.camera_id, version))
            report = camera.embedded(event, faces, event.origin, delivery.offset)
            if camera.monitor.due:
                metrics.show(camera.labels, camera.measures, camera.monitor.alarms)
            if report is not None:
                reports.append(report)
                if report.alarm:
                    user_id, *labels = camera.labels
                    log.warning(
                        "drift: %s", ", ".join([*labels, *camera.monitor.alarms]), extra=logs.about(user_id=user_id)
                    )
        return reports

    def _known(self, number: int, key: CameraKey) -> CameraMonitor:
        cameras = self._cameras[number]
        if key not in cameras:
            cameras[key] = self._camera(key)
        return cameras[key]

    def _camera(self, key: CameraKey) -> CameraMonitor:
        return CameraMonitor(key, self._plan, self._cards.of(key.model_version))

    def _forget(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            for camera in self._cameras.pop(number, {}).values():
                metrics.forget(camera.labels)

    def _save(self) -> None:
        reaches = dict(self._written)
        topic = Topic.DRIFT_REFERENCES.named(self._settings)
        changed = [(n, camera) for n, cameras in self._cameras.items() for camera in cameras.values() if camera.dirty]
        self._outbox.send([Outgoing(topic, key, value, n) for n, camera in changed for key, value in camera.records()])
        for _, camera in changed:
            camera.saved()
        self._saved = reaches
        self._save_at = time.monotonic() + _SAVE_S


def _of_no_camera(event: Embedding | Match) -> bool:
    """Whether it is of a frame that embed could not read, or of a search."""
    maker = event.origin if isinstance(event, Embedding) else event
    return isinstance(maker, Match | FrameOrigin) and (not maker.camera_id or maker.mode is Mode.SEARCH)


def _by_version(embedding: Embedding) -> Iterator[tuple[str, list[Face]]]:
    """The largest face, if there is one, for each model version that has a vector of it."""
    faces = embedding.faces[:1]
    yield embedding.model_version, faces
    for face in faces:
        for other in face.others:
            yield other.model_version, [replace(face, vector=other.vector)]
