"""All kinds of events in one module, for applications. facestream's own modules import each from its own module.

Each class mirrors the record of the same name in ``schemas/*.avsc``, where every field is described. Times are
timezone-aware UTC datetimes with microseconds; lengths are pixels of the upright picture.
"""

from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter, Header, Resolution, ResolutionState
from schemas.drift import Drift, DriftAlarm, DriftDecision, DriftFace, DriftMeasure, DriftPosition, DriftSample
from schemas.embeddings import Embedding, Face, FrameOrigin, OtherVector, Reembedding, TemplateBatch, UploadOrigin
from schemas.erasure import ErasedPhoto, Erasure
from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Mode, Picture, Upload
from schemas.learning import Chip, Feedback, RunCondition, RunState, Statement, TrainingRun
from schemas.parts import Box, Decision, Quality, Refusal, Source, Timings
from schemas.registry import Event
from schemas.replays import OffsetRange, Replay, ReplayState
from schemas.results import Candidate, Enrolment, Match, MatchedFace, Outcome, SearchCoverage
from schemas.rollout import ComparedFace, Comparison, ModelRecord, ModelState
from schemas.sightings import OpenSightings, Sighting, SightingState, Stranger, Track, View, Vote

__all__ = [
    "Box",
    "Candidate",
    "Chip",
    "ComparedFace",
    "Comparison",
    "Consent",
    "DeadLetter",
    "Decision",
    "Drift",
    "DriftAlarm",
    "DriftDecision",
    "DriftFace",
    "DriftMeasure",
    "DriftPosition",
    "DriftSample",
    "Embedding",
    "Enrolment",
    "ErasedPhoto",
    "Erasure",
    "Event",
    "Face",
    "Feedback",
    "Frame",
    "FrameOrigin",
    "Header",
    "Match",
    "MatchedFace",
    "Mode",
    "ModelRecord",
    "ModelState",
    "OffsetRange",
    "OpenSightings",
    "OtherVector",
    "Outcome",
    "Picture",
    "Quality",
    "Reembedding",
    "Refusal",
    "Replay",
    "ReplayState",
    "Resolution",
    "ResolutionState",
    "RunCondition",
    "RunState",
    "SearchCoverage",
    "Sighting",
    "SightingState",
    "Source",
    "Statement",
    "Stranger",
    "Template",
    "TemplateBatch",
    "Timings",
    "Track",
    "TrainingRun",
    "Upload",
    "UploadOrigin",
    "View",
    "Vote",
    "new_event_id",
    "utc_now",
]
