"""What a sink's worker erases, in a thread of its own.

An erasure may take minutes where the service is slow. Meanwhile the worker polls and writes what is of others, so that
nobody's results are late and the group keeps the worker. The order holds, since three things are kept:

- what came before an erasure is not written any more once it was read (``streams.privacy.erasures.Erasures``);
- results of its user that came later are held, up to a bound, and written when it is done, as it takes all it finds
  (``held_results``);
- the topic ``erasures`` is committed up to the first that is not done, and the others up to the first result held
  (``sink_progress``). So whoever takes the partitions over begins with what was not finished.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from schemas import codec
from schemas.erasure import Erasure
from sinks.base import BatchProcessor, Position, SinkUnavailable
from streams.dead_letters.sender import Outbox, Outgoing
from streams.engine.sink_retry import RETRY_S
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.messages import Message
from streams.kafka.topics import TopicMissing
from streams.observability import metrics
from streams.observability.heartbeat import WorkerHeartbeat
from streams.privacy.erasures import Erasures, NewErasures
from streams.roles import Role
from streams.settings import Settings

log = logging.getLogger(__name__)

_STOP_S = 1.0
"""How long a worker that stops waits for the erasure in hand; what is not done is done by the next owner."""


@dataclass(frozen=True, slots=True)
class _Asked:
    message: Message
    erasure: Erasure


class SinkEraser:
    """Erases one after the other, in order. ``add``, ``drop`` and the questions are for the worker's thread."""

    def __init__(
        self, role: Role, settings: Settings, processor: BatchProcessor[Any], topic: str, heartbeat: WorkerHeartbeat
    ) -> None:
        """``topic`` is the name of the topic ``erasures``, where it says what is done."""
        self._role = role
        self._settings = settings
        self._processor = processor
        self.topic = topic
        self._heartbeat = heartbeat
        self._outbox = Outbox(role, settings)
        self._answers = NewErasures(settings, Role.MATCH)
        self._changed = threading.Condition()
        self._pending: dict[tuple[int, int], _Asked] = {}
        """By partition number and offset, the one in hand first."""
        self._stopped = False
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="erasing", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; what is not done stays open, and is not committed."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(_STOP_S)

    def add(self, message: Message, erasure: Erasure) -> None:
        """Have it erased; one that is waiting already is not added again.

        Raises:
            Exception: an earlier one failed in a way that nothing foreseen explains.
        """
        with self._changed:
            if self._failed is not None:
                raise self._failed
            self._pending.setdefault((message.source.partition, message.offset), _Asked(message, erasure))
            self._changed.notify_all()

    def catch_up(self, positions: list[Position], erased: Erasures) -> None:
        """Have erased what nobody has erased meanwhile, and move the positions of ``erasures`` behind that.

        Args:
            positions: of the partitions that the worker has now.
            erased: takes in all who were ever erased: what is read again later, of whatever age, brings nobody back.

        Raises:
            SinkUnavailable: Kafka does not tell.
        """
        own = {one.partition.partition: n for n, one in enumerate(positions) if one.partition.topic == self.topic}
        try:
            erased.update(self._answers.of())
            for message, erasure in self._answers.since({n: positions[at].offset for n, at in own.items()}):
                erased.add(erasure, message.timestamp_ms)
                self.add(message, erasure)
                index = own[message.source.partition]
                positions[index] = replace(positions[index], offset=message.offset + 1)
        except (KafkaUnavailable, TopicMissing) as error:
            raise SinkUnavailable(str(error)) from error

    def drop(self, numbers: Collection[int]) -> None:
        """Leave those of partitions that went elsewhere to their owner."""
        with self._changed:
            for key in [key for key in self._pending if key[0] in numbers]:
                del self._pending[key]

    def waits(self) -> set[str]:
        """Users of whom something is still to be erased.

        Raises:
            Exception: see ``add``.
        """
        with self._changed:
            if self._failed is not None:
                raise self._failed
            return {one.erasure.user_id for one in self._pending.values() if not one.erasure.in_searches}

    def first(self, number: int) -> int | None:
        """The offset of the first of a partition that is not done."""
        with self._changed:
            return min((offset for partition, offset in self._pending if partition == number), default=None)

    def _run(self) -> None:
        try:
            while (found := self._next()) is not None:
                self._do(*found)
        except Exception as error:  # the worker's thread raises it
            if not self._stopped:
                log.exception("%s: erasing failed", self._role)
                self._failed = error

    def _next(self) -> tuple[tuple[int, int], _Asked] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._stopped)
            return None if self._stopped else next(iter(self._pending.items()))

    def _do(self, key: tuple[int, int], asked: _Asked) -> None:
        pause = RETRY_S[0]

        def wanted() -> bool:
            return not self._stopped and self._pending.get(key) is asked

        while wanted():
            try:
                removed = self._erase(asked.erasure, key[0], wanted)
                if wanted():
                    self._say(asked, removed)
                    metrics.ERASURES.labels(self._role).inc()
            except SinkUnavailable as error:
                if not wanted():
                    break
                log.warning("%s: erasing of %s: %s", self._role, asked.erasure.erasure_id, error)
                self._heartbeat.erasing_failed(error)
                with self._changed:
                    self._changed.wait_for(lambda: not wanted(), pause)
                pause = min(2 * pause, RETRY_S[1])
            else:
                break
        self._heartbeat.erasing_succeeded()
        with self._changed:
            if wanted():
                del self._pending[key]

    def _erase(self, erasure: Erasure, number: int, wanted: Callable[[], bool]) -> Mapping[str, int]:
        user_id, subject_id, name = erasure.user_id, erasure.subject_id, erasure.erasure_id
        if erasure.in_searches:
            return self._processor.erase_in_searches(
                user_id, subject_id, erasure_id=name, partition=number, wanted=wanted
            )
        if erasure.photo is not None and subject_id is not None:
            return self._processor.erase_photo(user_id, subject_id, erasure.photo, erasure_id=name, wanted=wanted)
        return self._processor.erase(user_id, subject_id, erasure_id=name, wanted=wanted)

    def _say(self, asked: _Asked, removed: Mapping[str, int]) -> None:
        """Tell whoever asked for it that it is done here."""
        done = codec.encode(replace(asked.erasure, stage=self._role, removed=dict(removed)))
        self._outbox.send([Outgoing(self.topic, asked.message.key, done, asked.message.source.partition)])
