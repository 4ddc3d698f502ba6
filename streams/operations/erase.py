"""Ask for an erasure, wait for those who carry it out, and write a receipt."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.embedder.card import UnusableModel
from schemas import codec
from schemas.errors import CodecError
from schemas.events import Erasure, ModelState, new_event_id, utc_now
from schemas.ids import canonical
from streams.kafka.consumer_groups import OffsetsClient, group_id
from streams.kafka.log_reader import LogReader
from streams.kafka.topics import Topic, topic_specs
from streams.kafka.writer import RecordWriter
from streams.model_registry.records import card_of, read_registry
from streams.roles import Role
from streams.settings import Settings
from streams.training_data.chip_store import ChipsOf, KeptChip

_ERASING = (Role.MATCH, Role.SINK_REDIS, Role.SINK_BIGQUERY, Role.DRIFT)
_LOGS = (
    *(Topic.UPLOADS, Topic.FRAMES, Topic.EMBEDDINGS, Topic.MATCHES, Topic.COMPARISONS, Topic.ENROLMENTS),
    *(Topic.CHIPS, Topic.DRIFT, Topic.DRIFT_REFERENCES, Topic.FEEDBACK, Topic.DEAD_LETTERS),
)
"""Topics that may hold something of a person."""
_ASK_S = 0.2


@dataclass(frozen=True, slots=True)
class Receipt:
    """What has been erased of whom.

    Attributes:
        erasure_id: of the request.
        user_id: whose.
        subject_id: the subject; None: the user with all that is his.
        requested_at: when it was asked for.
        completed_at: when all had answered; None as long as not all have.
        removed: by role, and of ``chips``: how much of what.
        waiting_for: roles that have not answered: they will do it when they run.
        logs_until: by topic, until when Kafka's own files may hold old messages. They bring nobody back.
        may_have_learned: model versions that were trained while faces were there to learn from.
    """

    erasure_id: str
    user_id: str
    subject_id: str | None
    requested_at: datetime
    completed_at: datetime | None
    removed: Mapping[str, Mapping[str, int]]
    waiting_for: tuple[str, ...]
    logs_until: Mapping[str, datetime]
    may_have_learned: tuple[str, ...]


def erase(
    settings: Settings,
    user_id: str,
    subject_id: str | None = None,
    *,
    timeout_s: float = 60.0,
    report: Callable[[str], None] = lambda role: None,
) -> Receipt:
    """Erase a user or one of his subjects: templates, chips, answers, rows, and what was learned of his cameras.

    Names may be spelt in any form. What came in before is erased, also what is still on its way; what comes later is
    new. Safe to repeat.

    Args:
        settings: of the cluster.
        user_id: whose.
        subject_id: the subject; None: all.
        timeout_s: how long to wait for the roles.
        report: told of each role that has done its part.

    Raises:
        KafkaUnavailable: no broker answers; if it was asked for already, the roles do it all the same.
        TopicMissing: a topic has not been created.
    """
    user_id, subject_id = canonical(user_id), None if subject_id is None else canonical(subject_id)
    asked = Erasure(new_event_id(), user_id, utc_now(), subject_id)
    with ChipsOf(settings, user_id, subject_id) as kept:
        chips = kept.refresh()
        removed, missing = _ask(settings, asked, timeout_s, report)
        # Templates take their chips with them; these are the others.
        left = kept.remove()
    removed["chips"] = {"faces": len({one.chip.event_id for one in [*chips, *left]})}
    return Receipt(
        erasure_id=asked.erasure_id,
        user_id=user_id,
        subject_id=subject_id,
        requested_at=asked.requested_at,
        completed_at=None if missing else utc_now(),
        removed=removed,
        waiting_for=tuple(missing),
        logs_until=_logs_until(settings),
        may_have_learned=tuple(_learned(settings, chips)),
    )


def _ask(
    settings: Settings, asked: Erasure, timeout_s: float, report: Callable[[str], None]
) -> tuple[dict[str, Mapping[str, int]], list[Role]]:
    """What each role says that it has removed, and which have not answered; those that never ran have nothing."""
    with OffsetsClient(settings) as commits:
        roles = [role for role in _ERASING if role is Role.MATCH or commits.of(group_id(role, settings))]
    removed: dict[str, Mapping[str, int]] = {}
    with closing(ErasureAnswers(settings, asked.erasure_id)) as answers:
        RecordWriter(settings, Topic.ERASURES).write(asked.user_id, codec.encode(asked))
        deadline = time.monotonic() + timeout_s
        while (missing := [role for role in roles if role not in removed]) and time.monotonic() < deadline:
            for answer in answers.new(_ASK_S):
                if answer.stage is not None and answer.stage not in removed:
                    removed[answer.stage] = answer.removed
                    report(answer.stage)
    return removed, missing


def _logs_until(settings: Settings) -> dict[str, datetime]:
    now = utc_now()
    return {one.name: now + timedelta(milliseconds=one.kept_ms) for one in topic_specs(settings) if one.topic in _LOGS}


def _learned(settings: Settings, chips: list[KeptChip]) -> list[str]:
    """Versions that are not retired, and whose training read a chip; what was learned of it, nobody can take out."""
    topic, found = Topic.CHIPS.named(settings), []
    for record in read_registry(settings).records:
        try:
            lineage = card_of(record).lineage
        except UnusableModel:
            continue
        ends = {} if lineage is None else lineage.source.offsets.get(topic, {})
        if record.state is not ModelState.RETIRED and any(one.offset < ends.get(one.partition, 0) for one in chips):
            found.append(record.version)
    return found


class ErasureAnswers:
    """What the roles say of one erasure, from now on."""

    def __init__(self, settings: Settings, erasure_id: str) -> None:
        """Made before it is asked for.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topic has not been created.
        """
        self._erasure_id = erasure_id
        self._log = LogReader(settings, Topic.ERASURES)
        self._next = {one.partition: one.end_offset for one in self._log.since({})}

    def new(self, timeout_s: float) -> list[Erasure]:
        """The answers since the last call; waits so long between two looks.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        time.sleep(timeout_s)
        found = []
        ranges = self._log.since(self._next)
        for message in self._log.messages(ranges):
            with suppress(CodecError):
                said = codec.decode(message.value, Erasure)
                if said.erasure_id == self._erasure_id and said.stage is not None:
                    found.append(said)
        self._next |= {one.partition: one.end_offset for one in ranges}
        return found

    def close(self) -> None:
        """Disconnect."""
        self._log.close()
