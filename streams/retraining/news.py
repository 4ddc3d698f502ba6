"""What there is to learn from, and what of it the last version did not know."""

from __future__ import annotations

from dataclasses import dataclass

from streams.replay.log import Log
from streams.retraining.conditions import Counted
from streams.settings import Settings
from streams.topics import Topic
from streams.training_set import Until, read_chips


@dataclass(frozen=True, slots=True)
class News:
    """What was counted, and where each topic was read to."""

    counted: Counted
    until: dict[Topic, dict[int, int]]


def read_news(settings: Settings, known: Until) -> News:
    """Count the faces that may be learned from now.

    Args:
        settings: where they are.
        known: where the training set of the last version ended; what lies behind it is new.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: a topic has not been created.
    """
    chips = read_chips(settings)
    ends = known.get(Topic.CHIPS, {})
    old = [one for one in chips.samples if (at := chips.offsets[one.event_id])[1] < ends.get(at[0], 0)]
    people, known_people = ({one.person for one in samples} for samples in (chips.samples, old))
    counted = Counted(
        people=len(people),
        faces=len(chips.samples),
        new_people=len(people - known_people),
        new_faces=len(chips.samples) - len(old),
    )
    with Log(settings, Topic.FEEDBACK) as log:
        said = {one.partition: one.end_offset for one in log.since({})}
    return News(counted, {Topic.CHIPS: chips.ends, Topic.FEEDBACK: said})
