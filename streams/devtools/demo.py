"""The demonstration: its photos, cameras and figures."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from streams.cameras.sources import CapturedFrame, open_source, shots
from streams.client.producer import Producer
from streams.devtools.reconciliation import ReconciliationReport
from streams.devtools.stats import percentile
from streams.devtools.synthetic_frames import Scene, side_by_side


@dataclass(frozen=True, slots=True)
class DemoPhoto:
    """An enrolment photo; several files are put side by side."""

    user: str
    subject: str
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name to show."""
        return " + ".join(self.files)


@dataclass(frozen=True, slots=True)
class DemoCamera:
    """A camera that shows the person of a photograph in motion.

    ``subject`` is who that is to the user, None a stranger.
    """

    user: str
    name: str
    file: str
    subject: str | None


PHOTOS = (
    DemoPhoto("alice", "obama", ("obama.jpg",)),
    DemoPhoto("alice", "obama", ("obama2.jpg",)),
    DemoPhoto("alice", "obama", ("obama.jpg", "biden.jpg")),
    DemoPhoto("bob", "biden", ("biden.jpg",)),
)
"""The third shows two people and is refused."""
CAMERAS = (
    DemoCamera("alice", "front-door", "obama3.jpg", "obama"),
    DemoCamera("alice", "garden", "biden.jpg", None),
    DemoCamera("bob", "lobby", "biden.jpg", "biden"),
    DemoCamera("bob", "garage", "obama2.jpg", None),
)
USERS = ("alice", "bob")
_PARTS = ("decode_ms", "detect_ms", "align_ms", "embed_ms")


@dataclass(slots=True)
class DemoEvents:
    """The events that were sent, by event id; a frame of a video has no camera, since its people are not known."""

    uploads: dict[str, DemoPhoto] = field(default_factory=dict)
    frames: dict[str, DemoCamera | None] = field(default_factory=dict)
    began: float = 0.0

    @property
    def event_ids(self) -> list[str]:
        """The ids of all events."""
        return [*self.uploads, *self.frames]


@dataclass(frozen=True, slots=True)
class Score:
    """How many frames were answered correctly, with a wrong name, or without recognising the person."""

    correct: int
    wrong: int
    missed: int


def enrol(producer: Producer, photos: Path, sent: DemoEvents) -> None:
    """Send the enrolment photos."""
    for photo in PHOTOS:
        picture = side_by_side([photos / file for file in photo.files])
        upload = producer.enrol(photo.user, picture, consent="demonstration", subject_id=photo.subject)
        sent.uploads[upload.event_id] = photo


def stream(
    producer: Producer,
    photos: Path,
    sent: DemoEvents,
    *,
    frames: int,
    fps: float,
    video: Path | None = None,
    progress: Callable[[int], None] = lambda number: None,
) -> None:
    """Send frames of all cameras in turn at ``fps`` together, then those of the video if there is one.

    They are drawn before the first is sent: a camera takes no time from the workers either.
    """
    pictures = itertools.chain(list(_scenes(photos, frames)), _video(video))
    sent.began = time.time()
    began = time.monotonic()
    for number, (user, camera_name, camera, jpeg) in enumerate(pictures):
        time.sleep(max(0.0, began + number / fps - time.monotonic()))
        frame = producer.frame(user, jpeg, camera_id=camera_name)
        sent.frames[frame.event_id] = camera
        progress(number + 1)


def score(sent: DemoEvents, answers: Mapping[str, dict[str, Any]]) -> Score:
    """Compare the answers with the people who were in front of the cameras."""
    correct = wrong = missed = 0
    for event_id, camera in sent.frames.items():
        if camera is None or event_id not in answers:
            continue
        named = {face["subject_id"] for face in answers[event_id]["faces"] if face["decision"] == "match"}
        if named - {camera.subject}:
            wrong += 1
        elif camera.subject is not None and not named:
            missed += 1
        else:
            correct += 1
    return Score(correct, wrong, missed)


def summary(sent: DemoEvents, account: ReconciliationReport) -> dict[str, Any]:
    """The figures of a demonstration, as ``facestream demo --json`` prints them."""
    outcomes = Counter(account.answers[one]["outcome"] for one in sent.uploads if one in account.answers)
    latencies = latencies_ms(sent, account)
    last = max((at for one, at in account.live_at.items() if one in sent.frames), default=sent.began)
    return {
        "photos": len(sent.uploads),
        "enrolled": outcomes["enrolled"],
        "refused": outcomes["refused"],
        "frames": len(sent.frames),
        "results_redis": account.in_redis - sum(outcomes.values()),
        "rows_bigquery": account.in_bigquery - sum(outcomes.values()),
        "lost": account.lost,
        "duplicates": account.duplicates,
        **asdict(score(sent, account.answers)),
        "latency_ms": {"p50": percentile(latencies, 50), "p99": percentile(latencies, 99)},
        "frames_per_s": round(len(sent.frames) / max(1e-3, last - sent.began), 1),
    }


def latencies_ms(sent: DemoEvents, account: ReconciliationReport) -> list[float]:
    """From the broker's time stamp of each frame to the moment at which its result could be read in Redis."""
    return [
        1000 * (account.live_at[one] - _seconds(account.answers[one]["timings"]["produced_at"]))
        for one in sent.frames
        if one in account.live_at and one in account.answers
    ]


def mean_step_ms(sent: DemoEvents, account: ReconciliationReport) -> dict[str, float]:
    """Mean milliseconds of each step of a frame, from its broker to Redis."""
    steps: dict[str, list[float]] = {}
    answers = [(account.answers[one], account.live_at[one]) for one in sent.frames if one in account.live_at]
    for answer, live_at in answers:
        timings = answer["timings"]
        produced, received, embedded = (
            _seconds(timings[name]) for name in ("produced_at", "received_at", "embedded_at")
        )
        matched = _seconds(answer["matched_at"])
        work = sum(timings[part] for part in _PARTS)
        steps.setdefault("wait for embed", []).append(1000 * (received - produced))
        for part in _PARTS:
            steps.setdefault(part.removesuffix("_ms"), []).append(timings[part])
        steps.setdefault("rest of the micro-batch", []).append(1000 * (embedded - received) - work)
        steps.setdefault("to match, and match", []).append(1000 * (matched - embedded))
        steps.setdefault("to Redis", []).append(1000 * (live_at - matched))
    return {name: sum(values) / len(values) for name, values in steps.items()}


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _scenes(photos: Path, frames: int) -> Iterator[tuple[str, str, DemoCamera, bytes]]:
    scenes = [iter(Scene(photos / camera.file, seed)) for seed, camera in enumerate(CAMERAS)]
    for number in range(frames):
        camera = CAMERAS[number % len(CAMERAS)]
        yield camera.user, camera.name, camera, next(scenes[number % len(CAMERAS)])


def _video(video: Path | None) -> Iterator[tuple[str, str, None, bytes]]:
    if video is not None:
        for shot in shots(open_source(str(video)), fps=0):
            if isinstance(shot, CapturedFrame):
                yield "alice", "video", None, shot.data
