"""The names of all keys and channels in Redis.

Keys that one script uses together have the user as hash tag, so that they are in one slot of a Redis Cluster.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.results import Enrolment, Match

INCOMPLETE = "incomplete"
"""A member of the index of a user's answers: the index was created again, and may lack older answers."""


def _tag(user_id: str) -> str:
    """The user as hash tag. Braces are escaped, so that no user id can produce another user's key."""
    return "{" + re.sub("[{}%]", lambda found: f"%{ord(found[0]):02X}", user_id) + "}"


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys and channels under a prefix."""

    prefix: str = "facestream:"

    def answer(self, event: Match | Enrolment) -> str:
        """The key of an event as JSON; replays have keys of their own."""
        name = self.result if isinstance(event, Match) else self.enrolment
        return name(event.event_id, event.replay_id)

    def result(self, event_id: str, replay_id: str | None = None) -> str:
        """The key of a frame's match, as JSON."""
        return f"{self.prefix}{f'replay:{replay_id}:' if replay_id else ''}result:{event_id}"

    def enrolment(self, event_id: str, replay_id: str | None = None) -> str:
        """The key of an upload's outcome, as JSON."""
        return f"{self.prefix}{f'replay:{replay_id}:' if replay_id else ''}enrolment:{event_id}"

    def answers(self, user_id: str) -> str:
        """The key of a sorted set with the keys of a user's answers, by the time of writing.

        If ``INCOMPLETE`` is a member, some answers may be missing.
        """
        return f"{self.prefix}answers:{_tag(user_id)}"

    def named(self, user_id: str) -> str:
        """The key of a sorted set with the keys of other users' answers to searches that name a user's subjects."""
        return f"{self.prefix}named:{_tag(user_id)}"

    def latest(self, user_id: str, camera_id: str) -> str:
        """The key of a camera's newest match, as JSON."""
        return f"{self.prefix}latest:{_tag(user_id)}:{camera_id}"

    def live(self, user_id: str) -> str:
        """The key of the stream of a user's answers, and the channel on which they are published."""
        return f"{self.prefix}live:{_tag(user_id)}"

    def sightings(self, user_id: str) -> str:
        """The key of the stream of a user's sightings, and the channel on which they are published."""
        return f"{self.prefix}sightings:{_tag(user_id)}"

    def subjects(self, user_id: str) -> str:
        """The key of a hash from a user's subjects to their number of templates."""
        return f"{self.prefix}subjects:{_tag(user_id)}"

    def seen(self, user_id: str, event_id: str) -> str:
        """The key of the marker of an answer that has been announced already."""
        return f"{self.prefix}seen:{_tag(user_id)}:{event_id}"

    def replicated(self, shard_tag: str | None = None) -> str:
        """The key that is written to see whether the replicas of a shard have it."""
        return f"{self.prefix}replicated{'' if shard_tag is None else f':{{{shard_tag}}}'}"

    def written(self, topic: str, partition: int, shard_tag: str | None = None) -> str:
        """The key of the offset after the last message of a partition that was written; in a cluster one a shard."""
        shard = "" if shard_tag is None else f"{{{shard_tag}}}:"
        return f"{self.prefix}written:{shard}{topic}:{partition}"
