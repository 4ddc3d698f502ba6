"""Which role reads which topics, and which events it takes from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.dead_letters import DeadLetter, Resolution
from schemas.drift import Drift
from schemas.embeddings import Embedding
from schemas.learning import Feedback
from schemas.results import Enrolment, Match
from schemas.rollout import Comparison
from schemas.sightings import Sighting
from sinks.base import Result
from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings

REDIS_EVENTS: Mapping[Topic, type[Match | Enrolment | Sighting]] = {
    Topic.MATCHES: Match,
    Topic.ENROLMENTS: Enrolment,
    Topic.SIGHTINGS: Sighting,
}
"""What Redis keeps."""
BIGQUERY_EVENTS: Mapping[Topic, type[Result]] = {
    Topic.MATCHES: Match,
    Topic.COMPARISONS: Comparison,
    Topic.ENROLMENTS: Enrolment,
    Topic.DEAD_LETTERS: DeadLetter,
    Topic.RESOLUTIONS: Resolution,
    Topic.DRIFT: Drift,
    Topic.FEEDBACK: Feedback,
    Topic.SIGHTINGS: Sighting,
}
"""What BigQuery keeps."""
SEARCH_EVENTS: Mapping[Topic, type[Match]] = {Topic.SEARCH_PARTS: Match}
"""What answers to searches are made of."""
DRIFT_EVENTS: Mapping[Topic, type[Embedding | Match]] = {Topic.EMBEDDINGS: Embedding, Topic.MATCHES: Match}
"""What tells of drift."""
SIGHTING_EVENTS: Mapping[Topic, type[Match]] = {Topic.MATCHES: Match}
"""What sightings are made of; their vectors are looked up on ``embeddings``."""
HOOK_EVENTS: Mapping[Topic, type[Sighting | Enrolment]] = {Topic.SIGHTINGS: Sighting, Topic.ENROLMENTS: Enrolment}
"""What is posted to addresses."""
READS: Mapping[Role, Sequence[Topic]] = {
    Role.EMBED: (Topic.UPLOADS, Topic.FRAMES),
    Role.MATCH: (Topic.EMBEDDINGS, Topic.PROBES, Topic.ERASURES),
    Role.SINK_REDIS: (*REDIS_EVENTS, Topic.ERASURES),
    Role.SINK_BIGQUERY: (*BIGQUERY_EVENTS, Topic.ERASURES),
    Role.DRIFT: (*DRIFT_EVENTS, Topic.ERASURES),
    Role.RETRAIN: (Topic.RUNS,),
    Role.SEARCH: (*SEARCH_EVENTS, Topic.ERASURES),
    Role.SIGHTINGS: (*SIGHTING_EVENTS, Topic.ERASURES),
    Role.HOOKS: (*HOOK_EVENTS, Topic.ERASURES),
}
"""What each role reads; ``match`` reads ``probes`` only where searches over all users are allowed."""


def subscribed(role: Role, settings: Settings) -> list[Topic]:
    """The topics whose partitions the workers of a role share out."""
    return [topic for topic in READS[role] if topic is not Topic.PROBES or settings.search_purposes]
