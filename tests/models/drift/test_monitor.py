"""A camera that degrades alarms within 500 frames; one whose people come and go does not in 10,000."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.random import Generator

from models.drift.monitor import Monitor, MonitorPlan
from schemas.embeddings import Face
from schemas.parts import Box, Quality

DIMENSIONS = 64
SAME_PERSON = 0.5
Camera = Callable[[Generator, np.ndarray], Face]


def face(vector: np.ndarray | None, sharpness: float, brightness: float = 0.5, blockiness: float | None = 0.1) -> Face:
    quality = Quality(0.9, 60.0, sharpness, brightness, 0.0, min(1.0, sharpness / 200), blockiness)
    return Face(Box(0, 0, 9, 9), [], quality, None, None if vector is None else vector.astype("<f4").tobytes())


def people(random: Generator, count: int) -> np.ndarray:
    """One vector each, about 1.4 from each other."""
    found = random.standard_normal((count, DIMENSIONS))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def seen(random: Generator, person: np.ndarray) -> np.ndarray:
    """The vector of one picture of a person: about 0.3 from the next."""
    return person + random.normal(0, 0.2 / np.sqrt(DIMENSIONS), DIMENSIONS)


def good(random: Generator, person: np.ndarray) -> Face:
    # A person's own skin and beard tell in the measures too.
    return face(seen(random, person), random.lognormal(5 + person[0], 0.4), random.normal(0.5 + person[1], 0.05))


def blurred(random: Generator, person: np.ndarray) -> Face:
    return face(seen(random, person), random.lognormal(3 + person[0], 0.4), random.normal(0.5 + person[1], 0.05))


def dark(random: Generator, person: np.ndarray) -> Face:
    return face(seen(random, person), random.lognormal(5 + person[0], 0.4), random.normal(0.1, 0.03))


def compressed(random: Generator, person: np.ndarray) -> Face:
    level = 0.9 + random.normal(0, 0.1)
    return face(seen(random, person), random.lognormal(5 + person[0], 0.4), 0.5 + person[1], level)


def otherwise_embedded(random: Generator, person: np.ndarray) -> Face:
    moved = np.zeros(DIMENSIONS)
    moved[:8] = 0.15
    return face(seen(random, person) + moved, random.lognormal(5 + person[0], 0.4))


def refused(random: Generator, person: np.ndarray) -> Face:
    return face(None, random.lognormal(5 + person[0], 0.4), random.normal(0.5 + person[1], 0.05))


def stream(random: Generator, who: np.ndarray, camera: Camera, stay: float, frames: int) -> Iterator[Face]:
    left = frames
    while left:
        person = who[random.integers(len(who))]
        for _ in range(min(left, random.geometric(1 / stay))):
            left -= 1
            yield camera(random, person)


def after(monitor: Monitor, faces: Iterator[Face]) -> tuple[int | None, set[str]]:
    """The number of frames until something alarms, and what."""
    for number, one in enumerate(faces, 1):
        monitor.add_frame([one])
        if monitor.due:
            monitor.compare()
        if monitor.alarms:
            return number, set(monitor.alarms)
    return None, set()


@pytest.mark.parametrize("stay", [2, 30])
def test_people_who_come_and_go_raise_no_alarm(stay: float) -> None:
    random = np.random.default_rng(1)
    # Every 2,000 frames others work here; the same measures are looked at, the vectors more seldom than otherwise.
    monitor = Monitor(MonitorPlan(every=250), SAME_PERSON)
    for _ in range(5):
        assert after(monitor, stream(random, people(random, 15), good, stay, 2000)) == (None, set())
    assert monitor.frames == 10_000


@pytest.mark.parametrize("stay", [1, 10])
@pytest.mark.parametrize(
    ("camera", "measure"),
    [
        (blurred, "sharpness"),
        (dark, "brightness"),
        (compressed, "blockiness"),
        (otherwise_embedded, "embedding"),
        (refused, "refused_rate"),
    ],
)
def test_a_degraded_camera_alarms_within_500_frames(camera: Camera, measure: str, stay: float) -> None:
    random = np.random.default_rng(2)
    who = people(random, 20)
    monitor = Monitor(MonitorPlan(), SAME_PERSON)
    assert after(monitor, stream(random, who, good, stay, 700)) == (None, set())
    frames, measures = after(monitor, stream(random, who, camera, stay, 500))
    assert frames is not None
    assert measure in measures


@pytest.mark.parametrize(("before", "now"), [(0.05, 0.45), (None, 0.9), (0.1, None)])
def test_compression_that_costs_nothing_or_was_not_measured_raises_no_alarm(
    before: float | None, now: float | None
) -> None:
    random = np.random.default_rng(5)
    who = people(random, 20)

    def camera(level: float | None) -> Camera:
        return lambda random, person: face(seen(random, person), random.lognormal(5 + person[0], 0.4), 0.5, level)

    monitor = Monitor(MonitorPlan(), SAME_PERSON)
    after(monitor, stream(random, who, camera(before), 5, 700))
    assert after(monitor, stream(random, who, camera(now), 5, 500)) == (None, set())


def test_an_alarm_ends_when_the_camera_is_mended() -> None:
    random = np.random.default_rng(3)
    who = people(random, 20)
    monitor = Monitor(MonitorPlan(), SAME_PERSON)
    after(monitor, stream(random, who, good, 5, 700))
    assert after(monitor, stream(random, who, dark, 5, 500))[0] is not None
    for one in stream(random, who, good, 5, 600):
        monitor.add_frame([one])
        if monitor.due:
            monitor.compare()
    assert not monitor.alarms


def test_a_stranger_who_stays_is_one_draw_and_a_crowd_of_strangers_is_not() -> None:
    random = np.random.default_rng(4)
    who = people(random, 20)
    unknown = {}
    for strangers in (1, 40):
        monitor = Monitor(MonitorPlan(), SAME_PERSON)
        for number, one in enumerate(stream(random, who, good, 5, 700)):
            monitor.add_decision(monitor.add_frame([one]) or 0, f"s{number // 5 % 20}", 0.4)
        for one in stream(random, people(random, strangers), good, 5, 300):
            monitor.add_decision(monitor.add_frame([one]) or 0, None, None)
        (unknown[strangers],) = [one for one in monitor.compare() if one.name == "unknown_rate"]
    assert unknown[1].effect == 1
    assert not unknown[1].alarming
    assert unknown[40].alarming


def test_less_sure_matches_alarm_and_surer_ones_do_not() -> None:
    random = np.random.default_rng(5)
    who = people(random, 20)

    def margin(now: float) -> bool:
        monitor = Monitor(MonitorPlan(), SAME_PERSON)
        for number in range(700):
            stay = monitor.add_frame([good(random, who[number % 20])]) or 0
            monitor.add_decision(stay, f"s{number % 20}", random.normal(0.5 if number < 400 else now, 0.1))
        return next(one for one in monitor.compare() if one.name == "margin").alarming

    assert margin(0.3)
    assert not margin(0.7)
    assert not margin(0.5)


def test_a_covered_camera_alarms_and_one_that_often_sees_nobody_does_not() -> None:
    random = np.random.default_rng(6)
    who = people(random, 20)
    for empty, alarms in ((0.0, True), (0.5, False)):
        monitor = Monitor(MonitorPlan(), SAME_PERSON)
        for one in stream(random, who, good, 5, 700):
            monitor.add_frame([one])
            if random.random() < empty:
                monitor.add_frame([])
        for _ in range(400):
            monitor.add_frame([])
            if monitor.due:
                monitor.compare()
        assert bool(monitor.alarms) is alarms
        assert set(monitor.alarms) <= {"faceless_rate"}


def test_without_a_known_distance_vectors_are_not_judged() -> None:
    random = np.random.default_rng(7)
    monitor = Monitor(MonitorPlan())
    for one in stream(random, people(random, 20), good, 1, 700):
        monitor.add_frame([one])
    assert "embedding" not in {one.name for one in monitor.compare()}
