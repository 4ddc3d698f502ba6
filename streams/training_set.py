"""What may be learned from: the faces on the topic ``chips`` whose people agreed to it, up to fixed offsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from models.training.samples import Sample
from schemas import codec
from schemas.errors import CodecError
from schemas.events import Chip, utc_now
from streams.replay.log import Log
from streams.settings import Settings
from streams.topics import Topic


@dataclass(slots=True)
class ChipsRead:
    """What the topic held.

    Attributes:
        samples: of several with one event id the last, none where a tombstone is the last.
        ends: the offset by partition number before which everything was read: reading up to them gives the same
            samples again, as long as no consent ends and no tombstone is compacted away.
        ended: chips left out since their consent has ended.
        unreadable: messages that are no chip.
    """

    samples: list[Sample] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    ended: int = 0
    unreadable: int = 0


def read_chips(settings: Settings, ends: Mapping[int, int] | None = None) -> ChipsRead:
    """Read the topic up to these offsets, by partition number; None: up to its present end.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    read = ChipsRead()
    last: dict[str, Chip] = {}
    with Log(settings, Topic.CHIPS) as log:
        ranges = log.since({})
        if ends is not None:
            ranges = [replace(one, end_offset=min(one.end_offset, ends.get(one.partition, 0))) for one in ranges]
            ranges = [one for one in ranges if one.first_offset < one.end_offset]
        read.ends = {one.partition: one.end_offset for one in ranges}
        for message in log.messages(ranges):
            event_id = (message.key or b"").decode(errors="replace")
            if message.value is None:
                last.pop(event_id, None)
                continue
            try:
                chip = codec.decode(message.value, Chip)
            except CodecError:
                read.unreadable += 1
                continue
            if chip.event_id == event_id and chip.consent.training:
                last[event_id] = chip
            else:
                read.unreadable += 1
    now = utc_now()
    for chip in last.values():
        if chip.consent.expires_at is not None and chip.consent.expires_at <= now:
            read.ended += 1
        else:
            read.samples.append(Sample(chip.event_id, chip.user_id, chip.subject_id, chip.jpeg, chip.quality.overall))
    return read
