"""The state of one camera and model version: its monitor, the offsets it has counted, and its reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from models.drift.measures import Measure
from models.drift.monitor import Monitor, MonitorPlan, MonitorSample
from models.embedder.card import Card, UnknownThreshold
from schemas import codec
from schemas.clock import utc_now
from schemas.drift import Drift, DriftAlarm, DriftMeasure, DriftPosition, DriftSample
from schemas.embeddings import Embedding, Face, FrameOrigin
from schemas.parts import Decision
from schemas.reasons import Reason
from schemas.results import Match
from streams.drift.samples import CameraKey, Part
from streams.kafka.topics import Topic

REPORT_EVERY = 500
"""Frames from one report to the next; there is also a report whenever an alarm begins or ends."""
_UNDECIDED = 5_000
"""Most frames that wait for their decisions; beyond that the oldest are dropped."""
_NOT_SAVED = (-1, -1, -1)
_RENEW = timedelta(days=7)
"""How often a reference is written again, so that its topic keeps it as long as the camera sends."""


class CameraMonitor:
    """Counts each message once: it keeps the next offset to count for each topic."""

    def __init__(self, key: CameraKey, plan: MonitorPlan, card: Card | None) -> None:
        """``card`` is that of the model version; without one distances have no meaning, and vectors are not judged."""
        self.key = key
        self.monitor = Monitor(plan, card.threshold() if card else None)
        self.measures: list[Measure] = []
        self.dirty = False
        self._card = card
        self._stays: dict[str, int] = {}
        """The stays that frames belong to, by event id, until their decisions come."""
        self._positions: dict[str, int] = {}
        self._reported = 0
        self._captured_at = self._saved_at = datetime.fromtimestamp(0, UTC)
        self._saved_size = (0, 0, 0)
        """The size of the reference when it was last written; it grows until it is complete."""

    @property
    def labels(self) -> tuple[str, str, str]:
        """The labels of its metrics."""
        return self.key.user_id, self.key.camera_id, self.key.model_version

    def embedded(self, embedding: Embedding, faces: Sequence[Face], origin: FrameOrigin, offset: int) -> Drift | None:
        """Count a frame whose faces have the vectors of this version; return a report if one is due."""
        if not self._counts(Topic.EMBEDDINGS, offset):
            return None
        if embedding.refusal is not None and embedding.refusal.reason != Reason.NO_FACE:
            return None
        self._captured_at = origin.captured_at
        stay = self.monitor.add_frame(faces)
        if stay is not None:
            self._stays[embedding.event_id] = stay
            if len(self._stays) > _UNDECIDED:
                del self._stays[next(iter(self._stays))]
        if not self.monitor.due:
            return None
        before = set(self.monitor.alarms)
        self.measures = self.monitor.compare()
        frames = self.monitor.frames
        if set(self.monitor.alarms) == before and frames // REPORT_EVERY == self._reported // REPORT_EVERY:
            return None
        return self._report()

    def matched(self, match: Match, offset: int) -> None:
        """Count the decision about a frame's largest face, if it was compared with a gallery."""
        if not self._counts(Topic.MATCHES, offset):
            return
        stay = self._stays.pop(match.event_id, None)
        if stay is None or not match.faces:
            return
        face = match.faces[0]
        if face.decision in (Decision.MATCH, Decision.UNKNOWN) and face.candidates:
            subject_id = face.subject_id if face.decision is Decision.MATCH else None
            self.monitor.add_decision(stay, subject_id, self._margin(face.candidates[0].distance, match.threshold_set))

    def records(self) -> list[tuple[bytes, bytes]]:
        """Key and value of the records from which another worker can go on."""
        parts = {Part.CURRENT: self.monitor.current}
        if self._reference_changed:
            parts = {Part.REFERENCE: self.monitor.reference, **parts}
        return [(self.key.message_key(part), codec.encode(self._record(sample))) for part, sample in parts.items()]

    def saved(self) -> None:
        """Note that what ``records`` returned has been written."""
        if self._reference_changed:
            self._saved_size, self._saved_at = _size(self.monitor.reference), utc_now()
        self.dirty = False

    def restore(self, part: Part, record: DriftSample) -> None:
        """Go on from what another worker has written; of two records the later one says how far it had counted."""
        sample = MonitorSample(record.faces, record.decisions, record.faceless)
        if part is Part.REFERENCE:
            self.monitor.reference = sample
            self._saved_size, self._saved_at = _size(sample), record.saved_at
        else:
            self.monitor.current = sample
            self.monitor.alarms = {alarm.measure: alarm.frame for alarm in record.alarms}
        self.monitor.frames = max(self.monitor.frames, record.frames)
        self._reported = max(self._reported, record.reported)
        for one in record.positions:
            self._positions[one.topic] = max(one.offset, self._positions.get(one.topic, 0))

    def count_again(self, topic: Topic) -> None:
        """Count a topic from its first message on. Both records are then written, so that neither has old offsets."""
        self._positions = {name: offset for name, offset in self._positions.items() if name != topic}
        self._saved_size, self.dirty = _NOT_SAVED, True

    @property
    def _reference_changed(self) -> bool:
        return _size(self.monitor.reference) != self._saved_size or utc_now() - self._saved_at > _RENEW

    def _counts(self, topic: Topic, offset: int) -> bool:
        """Whether a message has not been counted; note that it is now."""
        if offset < self._positions.get(topic, 0):
            return False
        self._positions[topic] = offset + 1
        self.dirty = True
        return True

    def _margin(self, distance: float, threshold_set: str) -> float | None:
        try:
            return None if self._card is None else 1 - distance / self._card.threshold(threshold_set)
        except UnknownThreshold:
            return None

    def _record(self, sample: MonitorSample) -> DriftSample:
        return DriftSample(
            user_id=self.key.user_id,
            camera_id=self.key.camera_id,
            model_version=self.key.model_version,
            faces=sample.faces,
            decisions=sample.decisions,
            faceless=sample.faceless,
            saved_at=utc_now(),
            frames=self.monitor.frames,
            reported=self._reported,
            alarms=[DriftAlarm(measure, frame) for measure, frame in self.monitor.alarms.items()],
            positions=[DriftPosition(topic, offset) for topic, offset in self._positions.items()],
        )

    def _report(self) -> Drift:
        monitor, since = self.monitor, self._reported
        self._reported = monitor.frames
        return Drift(
            report_id=codec.stable_id(*asdict(self.key).values(), monitor.frames, self._captured_at),
            user_id=self.key.user_id,
            camera_id=self.key.camera_id,
            model_version=self.key.model_version,
            frames=monitor.frames - since,
            frames_in_all=monitor.frames,
            alarm=bool(monitor.alarms),
            measures=[
                DriftMeasure(one.name, one.effect, one.p_value, one.name in monitor.alarms, one.reference, one.current)
                for one in self.measures
            ],
            captured_at=self._captured_at,
            reported_at=utc_now(),
        )


def _size(sample: MonitorSample) -> tuple[int, int, int]:
    return len(sample.faces), len(sample.decisions), sample.faceless
