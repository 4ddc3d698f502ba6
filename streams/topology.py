"""Which role reads which topics, and which events the topics of results carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.dead_letters import DeadLetter, Resolution
from schemas.drift import Drift
from schemas.embeddings import Embedding
from schemas.learning import Feedback
from schemas.results import Enrolment, Match
from schemas.rollout import Comparison
from sinks.base import Result
from streams.kafka.topics import Topic
from streams.roles import Role

READS: Mapping[Role, Sequence[Topic]] = {
    Role.EMBED: (Topic.UPLOADS, Topic.FRAMES),
    Role.MATCH: (Topic.EMBEDDINGS, Topic.ERASURES),
    Role.SINK_REDIS: (Topic.MATCHES, Topic.ENROLMENTS, Topic.ERASURES),
    Role.SINK_BIGQUERY: (
        Topic.MATCHES,
        Topic.COMPARISONS,
        Topic.ENROLMENTS,
        Topic.DEAD_LETTERS,
        Topic.RESOLUTIONS,
        Topic.DRIFT,
        Topic.FEEDBACK,
        Topic.ERASURES,
    ),
    Role.DRIFT: (Topic.EMBEDDINGS, Topic.MATCHES, Topic.ERASURES),
    Role.RETRAIN: (Topic.RUNS,),
}
"""What each role reads."""
EVENT_TYPES: Mapping[Topic, type[Result]] = {
    Topic.MATCHES: Match,
    Topic.COMPARISONS: Comparison,
    Topic.ENROLMENTS: Enrolment,
    Topic.DEAD_LETTERS: DeadLetter,
    Topic.RESOLUTIONS: Resolution,
    Topic.DRIFT: Drift,
    Topic.EMBEDDINGS: Embedding,
    Topic.FEEDBACK: Feedback,
}
