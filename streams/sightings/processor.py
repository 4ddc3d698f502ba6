"""The role sightings: a stateful processor of matches, each with its vectors, that tells of sightings.

It takes batches (see ``streams.engine.batch_worker``). What it has found is delivered with each batch; what it knows
of the cameras is written to ``open-sightings`` every few seconds, and each commit carries the offset up to which it
is written. A worker that takes a partition over reads again from there and finds the same again: a message about a
sighting that is written twice has the same id, and the sinks take the first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock

from models.embedder.card import Card
from models.sightings import tracker
from models.sightings.observation import SamePerson
from models.sightings.tracker import TrackerPlan
from schemas import codec
from schemas.erasure import ErasedPhoto
from schemas.results import Match
from sinks.base import Delivery, Position, RewindRequest, SinkUnavailable
from streams.dead_letters.sender import Outbox, Outgoing
from streams.engine.locked import locked
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.messages import TopicPartition
from streams.kafka.topics import Topic, TopicMissing
from streams.model_registry.published_cards import PublishedCards
from streams.roles import Role
from streams.settings import Settings
from streams.sightings import metrics
from streams.sightings.observations import is_of_a_live_frame, observed, same_person
from streams.sightings.open_log import CameraKey, read_open
from streams.sightings.partition import CameraPartition
from streams.sightings.saved_to import SavedTo
from streams.sightings.vectors import FrameVectorLog

log = logging.getLogger(__name__)

_SAVE_S = 10.0
_BEGINNING = datetime.fromtimestamp(0, UTC)


class SightingProcessor:
    """Joins frames to sightings; a :class:`sinks.base.BatchProcessor` of matches.

    Replays, corrections and answers to searches make none.
    """

    def __init__(self, settings: Settings, cards: Iterable[Card]) -> None:
        """``cards`` are of the model versions whose distances are known."""
        self.lock = Lock()
        self._settings = settings
        self._cards = PublishedCards(settings, cards)
        self._plan = TrackerPlan(
            timedelta(seconds=settings.sighting_gap_s), timedelta(seconds=settings.sighting_update_s)
        )
        self._partitions: dict[int, CameraPartition] = {}
        self._vectors = FrameVectorLog(settings)
        self._save_at = 0.0
        self._outbox = Outbox(Role.SIGHTINGS, settings)

    @locked
    def assign(self, positions: Sequence[Position]) -> Mapping[TopicPartition, RewindRequest]:
        """Restore what the previous owner has written; ask for what it has not to be read again."""
        numbers = {position.partition.partition for position in positions}
        try:
            found = list(read_open(self._settings, numbers))
        except (KafkaUnavailable, TopicMissing) as error:
            raise SinkUnavailable(str(error)) from error
        again = {}
        for position in positions:
            number, saved = position.partition.partition, SavedTo.read(position.note)
            if saved is None or position.renewed:
                saved = SavedTo(position.offset, 0, _BEGINNING)
            elif saved.next_offset < position.offset:
                again[position.partition] = RewindRequest(saved.next_offset, self._settings.retention_hours * 3600)
            known = {CameraKey.of(one): one for at, one in found if at == number}
            self._partitions[number] = partition = CameraPartition(saved, known)
            if position.renewed:
                partition.read_anew()
            self._vectors.begin(number, saved.embeddings)
        if any(position.renewed for position in positions):
            self._save()
        self._show()
        return again

    @locked
    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Drop what is known of partitions; their next owner begins where it is written."""
        for partition in partitions:
            self._partitions.pop(partition.partition, None)
            self._vectors.end(partition.partition)
        self._show()

    def note(self, partition: TopicPartition) -> str:
        """Up to where the cameras are written."""
        return self._partitions[partition.partition].saved.note

    @locked
    def write(self, batch: Sequence[Delivery[Match]]) -> None:
        """Take in frames, deliver what is to be told, and every few seconds write what is known of the cameras.

        Raises:
            SinkUnavailable: Kafka does not answer; what was taken in is not taken in again.
        """
        lacking = [one for one in batch if is_of_a_live_frame(one.event) and self._lacks(one)]
        wanted: dict[int, dict[str, datetime]] = {}
        for one in lacking:
            if one.event.faces:
                wanted.setdefault(one.partition.partition, {})[one.event.event_id] = one.event.matched_at
        distances = {version: self._same_person(version) for version in {one.event.model_version for one in lacking}}
        vectors = self._vectors.take(wanted)
        for one in batch:
            partition, match = self._partitions[one.partition.partition], one.event
            partition.read(one.offset)
            if not is_of_a_live_frame(match):
                continue
            key = CameraKey(match.user_id, match.camera_id)
            distance = distances.get(match.model_version)
            frame = observed(match, vectors.get(match.event_id), distance)
            if partition.see(key, frame, one.offset, self._plan):
                metrics.LATE.inc()
        metrics.WITHOUT_VECTORS.inc(sum(map(len, wanted.values())) - len(vectors))
        self._tell()
        if time.monotonic() >= self._save_at:
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
        """Drop all cameras of a user, or the open sightings of a subject: nothing more is told of them.

        Raises:
            SinkUnavailable: Kafka does not take it.
        """
        removed = 0
        for partition in self._partitions.values():
            removed += partition.erase_user(user_id) if subject_id is None else partition.erase(user_id, subject_id)
        self._tell()
        self._write_changed()
        self._show()
        return {"open_sightings": removed}

    def erase_photo(
        self,
        user_id: str,
        subject_id: str,
        photo: ErasedPhoto,
        *,
        erasure_id: str,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Nothing to do: sightings are of frames."""
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
        """Nothing to do: answers to searches make no sightings."""
        return {}

    def _lacks(self, delivery: Delivery[Match]) -> bool:
        match = delivery.event
        partition = self._partitions[delivery.partition.partition]
        known = partition.cameras.get(CameraKey(match.user_id, match.camera_id))
        if known is None:
            return True
        new = not tracker.is_counted(known, match.event_id, match.source.offset, match.timings.produced_at)
        return new and delivery.offset >= known.next_offset

    def _same_person(self, version: str) -> SamePerson | None:
        card = self._cards.of(version)
        return None if card is None else same_person(card)

    def _tell(self) -> None:
        """Deliver what is to be told."""
        topic = Topic.SIGHTINGS.named(self._settings)
        self._outbox.send(
            [
                Outgoing(topic, one.user_id.encode(), codec.encode(one), number)
                for number, partition in self._partitions.items()
                for one in partition.told
            ]
        )
        for partition in self._partitions.values():
            for one in partition.told:
                metrics.TOLD.labels(one.state).inc()
            partition.told.clear()

    def _save(self) -> None:
        self._write_changed()
        for number, partition in self._partitions.items():
            partition.saved = SavedTo(partition.next_offset, self._vectors.first_offset(number), partition.clock)
        self._save_at = time.monotonic() + _SAVE_S
        self._show()

    def _write_changed(self) -> None:
        topic = Topic.OPEN_SIGHTINGS.named(self._settings)
        self._outbox.send(
            [
                Outgoing(topic, key.message_key, None if known is None else codec.encode(known), number)
                for number, partition in self._partitions.items()
                for key, known in partition.records()
            ]
        )
        for partition in self._partitions.values():
            partition.changed.clear()

    def _show(self) -> None:
        cameras = [one for partition in self._partitions.values() for one in partition.cameras.values()]
        metrics.OPEN.set(sum(track.number > 0 for one in cameras for track in one.tracks))
