"""What the role counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from streams.observability.metrics import shown_by
from streams.roles import Role

_SIGHTINGS = (Role.SIGHTINGS,)
TOLD = shown_by(_SIGHTINGS, Counter("facestream_sightings", "Messages about sightings.", ["state"]))
OPEN = shown_by(_SIGHTINGS, Gauge("facestream_open_sightings", "Sightings that have not ended."))
LATE = shown_by(
    _SIGHTINGS,
    Counter("facestream_sighting_late_frames", "Frames that were older than the gap that ends a sighting."),
)
WITHOUT_VECTORS = shown_by(
    _SIGHTINGS,
    Counter(
        "facestream_sighting_frames_without_vectors",
        "Frames with faces whose vectors are not on `embeddings` any more.",
    ),
)
