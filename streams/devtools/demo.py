"""The demonstration: who is enrolled, what the cameras see, and how the answers are judged."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.cameras.sources import CapturedFrame, open_source
from streams.client.producer import Producer
from streams.devtools.synthetic_frames import Scene, side_by_side


@dataclass(frozen=True, slots=True)
class DemoPhoto:
    """An enrolment photo; of several files one beside the other."""

    user: str
    subject: str
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """What to call it."""
        return " + ".join(self.files)


@dataclass(frozen=True, slots=True)
class DemoCamera:
    """A camera before which the person of a photograph moves.

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
"""The third shows two people: it is there to be refused."""
CAMERAS = (
    DemoCamera("alice", "front-door", "obama3.jpg", "obama"),
    DemoCamera("alice", "garden", "biden.jpg", None),
    DemoCamera("bob", "lobby", "biden.jpg", "biden"),
    DemoCamera("bob", "garage", "obama2.jpg", None),
)
USERS = ("alice", "bob")


@dataclass(slots=True)
class DemoEvents:
    """What went in, by event id; of a video it is not known who is in it."""

    uploads: dict[str, DemoPhoto] = field(default_factory=dict)
    frames: dict[str, DemoCamera | None] = field(default_factory=dict)
    began: float = 0.0

    @property
    def event_ids(self) -> list[str]:
        """All of them."""
        return [*self.uploads, *self.frames]


@dataclass(frozen=True, slots=True)
class Score:
    """How the frames with a known person were answered: rightly, with a wrong name, or not recognised."""

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
    """Judge the answers against who was before the camera."""
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


def _scenes(photos: Path, frames: int) -> Iterator[tuple[str, str, DemoCamera, bytes]]:
    scenes = [iter(Scene(photos / camera.file, seed)) for seed, camera in enumerate(CAMERAS)]
    for number in range(frames):
        camera = CAMERAS[number % len(CAMERAS)]
        yield camera.user, camera.name, camera, next(scenes[number % len(CAMERAS)])


def _video(video: Path | None) -> Iterator[tuple[str, str, None, bytes]]:
    if video is not None:
        for shot in open_source(str(video)).shots():
            if isinstance(shot, CapturedFrame):
                yield "alice", "video", None, shot.data
