"""The role hooks: posts sightings and enrolments to the addresses of hooks, at least once.

It takes batches (see ``streams.engine.batch_worker``). What is to be posted is written to ``hook-deliveries`` before
the batch is committed, and removed there once its address has accepted it; a thread of its own posts. So an address
that is away for hours holds up nothing, and a worker that takes a partition over goes on with what its predecessor
left. What was accepted when a worker was killed, and was not noted yet, is posted again, with the same id.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from threading import Lock

from schemas.clock import utc_now
from schemas.erasure import ErasedPhoto
from schemas.results import Enrolment
from sinks.base import Delivery, Position, RewindRequest, SinkUnavailable
from streams.dead_letters.sender import Outbox, Outgoing
from streams.engine.locked import locked
from streams.hooks import metrics
from streams.hooks.backlog import Backlog, Waiting
from streams.hooks.messages import HookedEvent, wants
from streams.hooks.pending_log import WhoIsErased, message_key, read_waiting, record
from streams.hooks.post import PostResult
from streams.hooks.sender import HookSender
from streams.hooks.store import HookList, write_hook
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.messages import TopicPartition
from streams.kafka.topics import Topic, TopicMissing
from streams.observability import logs
from streams.privacy.erasures import Erasures, named, read_erasures
from streams.roles import Role
from streams.settings import Settings

log = logging.getLogger(__name__)

_LOOK_S = 1.0
"""How often it looks for changes of the hooks while there are no events."""
_REMEMBERED = 10_000
"""Events that are known to be queued or posted: a copy of one is not posted again."""
_ASK_S = 0.05


class HookProcessor:
    """A :class:`sinks.base.BatchProcessor` of sightings and enrolments."""

    def __init__(self, settings: Settings) -> None:
        self.lock = Lock()
        self._settings = settings
        self._hooks = HookList(settings)
        self._looked_at = float("-inf")
        self._backlog = Backlog(settings.hook_retry_s, timedelta(hours=settings.hook_give_up_h))
        self._sender = HookSender(settings, self._backlog, self.lock, self._hooks.of, self._settled)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._done: list[Waiting] = []
        """Whose records are to be removed."""
        self._to_disable: dict[str, str] = {}
        """Hooks that have failed for too long, and what was wrong last."""
        self._outbox = Outbox(Role.HOOKS, settings)
        self._erasing_outbox = Outbox(Role.HOOKS, settings)
        """For the thread that erases."""
        self._erased: list[Outgoing] = []
        """What that thread has to send still."""
        self._awaited: set[Waiting] = set()
        """What was under way when that thread dropped it, also when it has to try again."""
        self._topic = Topic.HOOK_DELIVERIES.named(settings)

    def start(self) -> None:
        """Begin to post."""
        self._sender.start()

    def stop(self) -> None:
        """Post nothing more, and give what is under way a moment to be answered. Safe to repeat."""
        self._sender.stop()

    def assign(self, positions: Sequence[Position]) -> Mapping[TopicPartition, RewindRequest]:
        """Go on with what the previous owner left, but for those who were erased meanwhile."""
        numbers = {position.partition.partition for position in positions}
        self._look()
        try:
            found, erased = read_waiting(self._settings, numbers), read_erasures(self._settings, numbers)
        except (KafkaUnavailable, TopicMissing) as error:
            raise SinkUnavailable(str(error)) from error
        with self.lock:
            now = time.monotonic()
            done = {one.key for one in self._done}
            for one in found:
                if one.key in done:
                    continue
                if _is_erased(one.event, erased):
                    self._over([one], "dropped")
                else:
                    self._over(self._backlog.add(one, now), "given_up")
                    self._remember(one)
            self._show()
        self._sender.wake()
        return {}

    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Note what was accepted, and leave what waits to the next owner."""
        numbers = {partition.partition for partition in partitions}
        with self.lock:
            for one in self._backlog:
                if one.partition in numbers:
                    self._backlog.remove(one)
                    self._known.pop(one.key, None)
            self._show()
        try:
            self._note_done()
        except SinkUnavailable as error:
            log.warning("what was posted last may be posted again: %s", error)
            with self.lock:
                self._done = [one for one in self._done if one.partition not in numbers]

    def note(self, partition: TopicPartition) -> str:
        """Nothing: what waits is on its topic before anything is committed."""
        return ""

    def write(self, batch: Sequence[Delivery[HookedEvent]]) -> None:
        """Queue what is to be posted.

        Raises:
            SinkUnavailable: Kafka does not answer; nothing is queued.
        """
        # After the events came: a hook that was there before an event gets it.
        self._look()
        hooks = self._hooks.all()
        if not hooks:
            return
        now = utc_now()
        wanted = [
            Waiting(hook.hook_id, delivery.event, delivery.partition.partition, now)
            for delivery in batch
            for hook in hooks
            if wants(hook, delivery.event)
        ]
        with self.lock:
            queued = {one.key: one for one in wanted if one.key not in self._known}
        self._outbox.send([self._outgoing(one, record(one)) for one in queued.values()])
        with self.lock:
            for one in queued.values():
                self._over(self._backlog.add(one, time.monotonic()), "given_up")
                self._remember(one)
            self._show()
        self._sender.wake()

    def tend(self) -> None:
        """Between batches: follow the hooks, note what was accepted, drop what nobody wants any more.

        Raises:
            SinkUnavailable: Kafka does not answer; the call is repeated.
        """
        if time.monotonic() >= self._looked_at + _LOOK_S:
            self._look()
            self._drop_unwanted()
        self._note_done()
        with self.lock:
            to_disable = dict(self._to_disable)
        for hook_id, problem in to_disable.items():
            self._disable(hook_id, problem)
        self._sender.wake()

    def erase(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Drop what waits of a user, or names one of his subjects; return when none of it is under way.

        Raises:
            SinkUnavailable: Kafka does not take it.
        """
        return self._drop(WhoIsErased(user_id, subject_id), wanted)

    def erase_photo(
        self,
        user_id: str,
        subject_id: str,
        photo: ErasedPhoto,
        *,
        erasure_id: str,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Drop what waits of the uploads of a photo; see :meth:`erase`."""
        return self._drop(WhoIsErased(user_id, subject_id, frozenset(photo.event_ids)), wanted)

    def _drop(self, who: WhoIsErased, wanted: Callable[[], bool]) -> dict[str, int]:
        with self.lock:
            self._awaited |= {one for one in self._backlog.flying if who.is_in(one.event)}
            for one in [each for each in self._backlog if who.is_in(each.event)]:
                kept = who.taken_out_of(one.event)
                if kept is None:
                    self._backlog.remove(one)
                    self._erased.append(self._outgoing(one, None))
                else:
                    one.event = kept
                    self._erased.append(self._outgoing(one, record(one)))
            # What is over, and whose record is removed with the next that is noted.
            self._erased += [self._outgoing(one, None) for one in self._done if who.is_in(one.event)]
            self._show()
        self._erasing_outbox.send(self._erased)
        number = len({one.key for one in self._erased})
        self._erased.clear()
        while wanted() and self._any_flies(self._awaited):
            time.sleep(_ASK_S)
        self._awaited.clear()
        return {"hook_deliveries": number}

    def erase_in_searches(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str,
        partition: int,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Nothing to do: answers to searches are not posted."""
        return {}

    @locked
    def _any_flies(self, those: Collection[Waiting]) -> bool:
        return not self._backlog.flying.isdisjoint(those)

    def _settled(self, one: Waiting, result: PostResult) -> None:
        """Take an answer in; with the lock held, in the sender's thread."""
        now, at = time.monotonic(), utc_now()
        if result.accepted:
            if self._backlog.accepted(one, now, at):
                self._over([one], "delivered")
            self._show()
            return
        given_up = self._backlog.failed(one, now, at, result.wait_s)
        if one.is_over and not given_up:
            return
        metrics.POSTED.labels("failed").inc()
        waited_s = (at - one.queued_at).total_seconds()
        extra = logs.about(user_id=one.event.user_id, event_id=one.key[1])
        log.info("%s: attempt %d of %s: %s", *(one.hook_id, one.attempts, one.key[1], result.what), extra=extra)
        if given_up:
            self._over([one], "given_up")
            told = (one.hook_id, one.key[1], waited_s / 3600, result.what)
            log.warning("%s: %s is given up after %.1f h: %s", *told, extra=extra)
        if result.is_gone or (given_up and not self._backlog.has_accepted_since(one.hook_id, one.queued_at)):
            self._to_disable[one.hook_id] = result.what
        self._show()

    def _over(self, those: Sequence[Waiting], outcome: str) -> None:
        metrics.POSTED.labels(outcome).inc(len(those))
        self._done += those

    def _disable(self, hook_id: str, problem: str) -> None:
        """Write that a hook is disabled, which every worker reads."""
        hook = self._hooks.of(hook_id)
        if hook is not None and hook.disabled_at is None:
            log.warning("%s is disabled: %s", hook_id, problem)
            try:
                write_hook(self._settings, replace(hook, disabled_at=utc_now(), disabled_because=problem))
            except KafkaUnavailable as error:
                raise SinkUnavailable(str(error)) from error
        with self.lock:
            self._to_disable.pop(hook_id, None)
        self._looked_at = float("-inf")

    @locked
    def _drop_unwanted(self) -> None:
        """Drop what waits for hooks that were removed or disabled."""
        for hook_id in self._backlog.hook_ids():
            hook = self._hooks.of(hook_id)
            if hook is None or hook.disabled_at is not None:
                self._over(self._backlog.drop(hook_id), "dropped")
        self._show()

    def _note_done(self) -> None:
        with self.lock:
            done = list(self._done)
        self._outbox.send([self._outgoing(one, None) for one in done])
        with self.lock:
            del self._done[: len(done)]

    def _look(self) -> None:
        try:
            self._hooks.look()
        except (KafkaUnavailable, TopicMissing) as error:
            raise SinkUnavailable(str(error)) from error
        self._looked_at = time.monotonic()

    def _remember(self, one: Waiting) -> None:
        self._known[one.key] = None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _outgoing(self, one: Waiting, value: bytes | None) -> Outgoing:
        return Outgoing(self._topic, message_key(one), value, one.partition)

    def _show(self) -> None:
        metrics.WAITING.set(len(self._backlog))


def _is_erased(event: HookedEvent, erased: Erasures) -> bool:
    at = event.decided_at if isinstance(event, Enrolment) else event.first_produced_at
    if isinstance(event, Enrolment) and erased.covers_photo(
        round(at.timestamp() * 1000), event.user_id, event.subject_id, event.event_id, event.repeats
    ):
        return True
    return erased.covers(round(at.timestamp() * 1000), event.user_id, named(event))
