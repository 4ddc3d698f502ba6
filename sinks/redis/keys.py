"""The names of everything in Redis.

The keys that one script touches carry the user as hash tag, so that they share a slot of a Redis Cluster.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.results import Enrolment, Match

INCOMPLETE = "incomplete"
"""In the index of a user's answers: it was made anew, and lacks answers of before."""


def _tag(user_id: str) -> str:
    """The user as hash tag; braces are escaped, or one user's key could be spelt with another's id."""
    return "{" + re.sub("[{}%]", lambda found: f"%{ord(found[0]):02X}", user_id) + "}"


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys and channels under a prefix."""

    prefix: str = "facestream:"

    def answer(self, event: Match | Enrolment) -> str:
        """Where the event itself is kept as JSON; a replay's stand beside the live ones."""
        name = self.result if isinstance(event, Match) else self.enrolment
        return name(event.event_id, event.replay_id)

    def result(self, event_id: str, replay_id: str | None = None) -> str:
        """JSON of the match of a frame."""
        return f"{self.prefix}{f'replay:{replay_id}:' if replay_id else ''}result:{event_id}"

    def enrolment(self, event_id: str, replay_id: str | None = None) -> str:
        """JSON of the outcome of an upload."""
        return f"{self.prefix}{f'replay:{replay_id}:' if replay_id else ''}enrolment:{event_id}"

    def answers(self, user_id: str) -> str:
        """Sorted set of the keys of a user's answers that are still there, by the time of writing.

        With ``INCOMPLETE`` in it, not of all.
        """
        return f"{self.prefix}answers:{_tag(user_id)}"

    def latest(self, user_id: str, camera_id: str) -> str:
        """JSON of the newest match of a camera."""
        return f"{self.prefix}latest:{_tag(user_id)}:{camera_id}"

    def live(self, user_id: str) -> str:
        """Stream of a user's answers, and the channel on which they are published."""
        return f"{self.prefix}live:{_tag(user_id)}"

    def subjects(self, user_id: str) -> str:
        """Hash of a user's subjects to their number of templates."""
        return f"{self.prefix}subjects:{_tag(user_id)}"

    def seen(self, user_id: str, event_id: str) -> str:
        """Marker of an answer that is in the live stream already."""
        return f"{self.prefix}seen:{_tag(user_id)}:{event_id}"

    def written(self, topic: str, partition: int) -> str:
        """The offset after the last message of a partition that was written."""
        return f"{self.prefix}written:{topic}:{partition}"
