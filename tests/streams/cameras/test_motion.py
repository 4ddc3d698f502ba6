from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.cameras.motion import HOLD_S, MotionGate

FPS = 5
RANDOM = np.random.default_rng(3)
ROOM = np.kron(RANDOM.integers(40, 200, (9, 16, 3), np.uint8), np.ones((40, 40, 1), np.uint8))
"""A scene of 640 × 360 with edges."""
NOISE = [RANDOM.normal(0, 8, ROOM.shape) for _ in range(5)]


def seen(picture: NDArray[np.uint8], light: float = 1.0) -> NDArray[np.uint8]:
    """As a sensor in poor light sees it: no two frames are the same."""
    noise = NOISE[RANDOM.integers(len(NOISE))]
    return np.clip(picture * light + noise[:, : picture.shape[1]], 0, 255).astype(np.uint8)


def with_person(x: int) -> NDArray[np.uint8]:
    """A figure whose face would be 20 pixels wide."""
    picture = ROOM.copy()
    picture[200:340, x : x + 40] = 20
    return picture


def settled() -> MotionGate:
    """A gate that has seen nothing but the room for some seconds."""
    gate = MotionGate()
    passed = [gate.passes(seen(ROOM), at / FPS) for at in range(20)]
    assert passed[0], "the first frame shows something new"
    assert not any(passed[11:])
    return gate


def test_noise_is_no_movement() -> None:
    gate = settled()
    assert not any(gate.passes(seen(ROOM), 4 + at / FPS) for at in range(20))
    assert gate.changed < 0.001


def test_who_walks_through_passes_in_every_frame_and_for_a_while_after() -> None:
    gate = settled()
    assert all(gate.passes(seen(with_person(50 + 30 * at)), 4 + at / FPS) for at in range(15))
    after = [gate.passes(seen(ROOM), 7 + at / FPS) for at in range(30)]
    assert after[0]
    assert not any(after[-10:])


def test_who_stops_passes_until_the_scene_has_taken_him_in() -> None:
    gate = settled()
    passed = [gate.passes(seen(with_person(300)), 4 + at / FPS) for at in range(150)]
    assert all(passed[: int(HOLD_S * FPS)])
    assert not any(passed[-10:])


@pytest.mark.parametrize("light", [0.5, 0.8, 1.2])
def test_a_lamp_or_the_exposure_is_no_movement(light: float) -> None:
    gate = settled()
    assert not any(gate.passes(seen(ROOM, light), 4 + at / FPS) for at in range(10))


def test_another_resolution_begins_anew() -> None:
    gate = settled()
    assert gate.passes(seen(ROOM[:, :320]), 4)
    assert not gate.passes(seen(ROOM[:, :320]), 5 + HOLD_S)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (60, 80), (720, 1280, 3)])
def test_any_size(shape: tuple[int, ...]) -> None:
    gate = MotionGate()
    assert gate.passes(np.zeros(shape, np.uint8), 0)
    assert not gate.passes(np.zeros(shape, np.uint8), 10)
