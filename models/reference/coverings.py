"""Draws things that cover a face, and things that only look as if: for fitting ``models/analysis/covered.tflite``.

All randomness comes from the given generator. Shapes are drawn in the frame of ArcFace's template (width 1, eyes at
y 0.46, mouth at 0.82, chin at about 1.1) and carried over by the affine map of the five landmarks, so that they turn
with the head.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.pictures.geometry import ARCFACE, Pixels, Points, Transform, apply

Alpha = NDArray[np.float32]
"""How much of each pixel is covered, [size, size], 0 to 1."""

Colour = NDArray[np.float32]
"""Red, green and blue, 0 to 255; or a picture of them."""

_EYES = ARCFACE[:2]


def to_chip(landmarks: Points) -> Transform:
    """The affine map from the template to a chip in which these are the five landmarks of ArcFace."""
    known = np.column_stack([ARCFACE, np.ones(5)])
    return np.asarray(np.linalg.lstsq(known, landmarks, rcond=None)[0].T)


def mask(chip: Pixels, place: Transform, random: Generator) -> Pixels:
    """Put on a mask or scarf: any colour or pattern, over the nose or under it, with pleats and straps or without."""
    top = random.uniform(0.5, 0.66) if random.random() < 0.75 else random.uniform(0.68, 0.75)
    cheek = top + random.uniform(-0.02, 0.14)
    right = [
        (random.uniform(0.5, 0.6), top),
        (random.uniform(0.68, 0.8), (top + cheek) / 2),
        (random.uniform(0.84, 1.0), cheek),
        (random.uniform(0.84, 0.98), random.uniform(0.78, 0.92)),
        (random.uniform(0.66, 0.8), random.uniform(1.0, 1.1)),
        (0.5, random.uniform(1.06, 1.25)),
    ]
    if random.random() < 0.15:  # A scarf, or a mask that goes on below.
        right[3:] = [(1.05, 0.9), (1.05, 1.5), (0.5, 1.5)]
    outline = np.array([*right, *((1 - x, y) for x, y in reversed(right))]) + random.normal(0, 0.008, (12, 2))
    alpha = _filled(chip, place, _rounded(outline), blur=random.uniform(0.3, 1.2))
    colour = _shaded(chip, _fabric(chip, random), random)
    if random.random() < 0.6:
        for y in np.linspace(top + 0.1, 1.0, int(random.integers(1, 5))):
            sag = random.uniform(0, 0.08)
            line = np.array([(0.12, y - sag), (0.3, y), (0.5, y + sag / 2), (0.7, y), (0.88, y - sag)])
            dark = _line(chip, place, line, width=random.uniform(0.008, 0.03))
            colour = colour * (1 - dark[..., None] * np.float32(random.uniform(-0.15, 0.3)))
    covered = _over(chip, colour, alpha)
    if random.random() < 0.5:
        for side in (-1, 1):
            ends = np.array([[0.5 + side * 0.4, cheek + 0.03], [0.5 + side * 0.62, random.uniform(0.35, 0.6)]])
            covered = _over(covered, _colour(random), _line(covered, place, ends, width=random.uniform(0.01, 0.03)))
    return covered


def chin_mask(chip: Pixels, place: Transform, random: Generator) -> Pixels:
    """Put on a mask that was pulled down, or a scarf or collar: nose and mouth stay free."""
    top = random.uniform(0.97, 1.08)
    outline = np.array([(0, top - 0.1), (0.3, top), (0.5, top + 0.02), (0.7, top), (1, top - 0.1), (1, 1.6), (0, 1.6)])
    alpha = _filled(chip, place, _rounded(outline), blur=random.uniform(0.3, 1.5))
    return _over(chip, _shaded(chip, _fabric(chip, random), random), alpha)


def beard(chip: Pixels, place: Transform, random: Generator) -> Pixels:
    """Grow a beard: dark, grey or white hair around the mouth, whose lips stay free."""
    jaw = np.array([(0.1, 0.7), (0.3, 0.78), (0.5, 0.74), (0.7, 0.78), (0.9, 0.7), (0.8, 1.0), (0.5, 1.2), (0.2, 1.0)])
    lips = np.array([(0.36, 0.82), (0.5, 0.78), (0.64, 0.82), (0.5, 0.9)])
    alpha = _filled(chip, place, _rounded(jaw), blur=5) * random.uniform(0.4, 0.9)
    alpha = alpha * (1 - _filled(chip, place, _rounded(lips), blur=1.5))
    shade = random.choice([random.uniform(10, 70), random.uniform(90, 230)])
    hair = shade + random.normal(0, 25, (*chip.shape[:2], 1)) + random.normal(0, 6, 3)
    return _over(chip, cv2.GaussianBlur(hair.astype(np.float32), (0, 0), 0.7), alpha.astype(np.float32))


def hand(chip: Pixels, place: Transform, center: Points, random: Generator) -> Pixels:
    """Hold a hand or another thing before a place in the template [2]: fingers, or one blob."""
    sample = apply(place, np.array([[0.5, 0.3]]))[0].round().astype(int).clip(0, chip.shape[0] - 1)
    skin = chip[sample[1], sample[0]].astype(np.float32) * np.float32(random.uniform(0.7, 1.2))
    colour = skin if random.random() < 0.6 else _colour(random)
    angle = random.uniform(0, np.pi)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    covered = chip
    for finger in np.linspace(-0.19, 0.19, int(random.integers(3, 6))):
        middle = center + across * finger
        ends = np.array([middle - along * random.uniform(0.25, 0.4), middle + along * random.uniform(0.3, 0.9)])
        alpha = _line(covered, place, ends, width=random.uniform(0.1, 0.14))
        rim = cv2.GaussianBlur(alpha, (0, 0), 2.5)
        covered = _over(covered, _shaded(covered, colour * (0.75 + 0.3 * rim[..., None]), random), alpha)
    return covered


def glasses(chip: Pixels, place: Transform, opacity: float, random: Generator) -> Pixels:
    """Put on glasses whose lenses hide this share of the eyes behind them, with frames or without."""
    width, height = random.uniform(0.11, 0.17), random.uniform(0.07, 0.14)
    power, droop, drop = random.uniform(2, 5), random.uniform(0, 0.06), random.uniform(-0.01, 0.05)
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / power) * width
    y = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / power) * height
    frame_colour, frame_width = _colour(random, dark=0.7), random.uniform(0, 0.035)
    tint = _tint(chip, random)
    covered = chip
    for side, eye in zip((-1, 1), _EYES, strict=True):
        lens = np.column_stack([eye[0] + x + side * (0.01 + droop * (y > 0) * y / height), eye[1] + y + drop])
        covered = _over(covered, tint, _filled(chip, place, lens, blur=0.5) * np.float32(opacity))
        if random.random() < 0.5:
            at = eye + np.array([random.uniform(-width, width), random.uniform(-height, height) + drop])
            streak = at + np.array([[-0.03, 0.05], [0.03, -0.05]])
            shine = _line(chip, place, streak, width=random.uniform(0.01, 0.06)) * np.float32(random.uniform(0.1, 0.7))
            covered = _over(
                covered, np.full(3, 235, np.float32), np.asarray(cv2.GaussianBlur(shine, (0, 0), 1.5), np.float32)
            )
        if frame_width > 0.006:
            rim = np.vstack([lens, lens[:1]])
            covered = _over(covered, frame_colour, _line(chip, place, rim, width=frame_width))
        temple = np.array([[eye[0] + side * width, eye[1] + drop], [0.5 + side * 0.6, eye[1] - 0.02]])
        covered = _over(covered, frame_colour, _line(chip, place, temple, width=max(frame_width, 0.015)))
    bridge = np.array(
        [[_EYES[0][0] + width, _EYES[0][1]], [0.5, _EYES[0][1] - 0.02], [_EYES[1][0] - width, _EYES[1][1]]]
    )
    return _over(covered, frame_colour, _line(chip, place, bridge, width=max(frame_width, 0.015)))


def bar(chip: Pixels, place: Transform, random: Generator) -> Pixels:
    """Hide both eyes: a bar, a visor, a hat or hair over them."""
    low = random.uniform(0.54, 0.62)
    high = -0.6 if random.random() < 0.4 else random.uniform(0.28, 0.38)
    outline = np.array([(-0.1, high), (0.5, high), (1.1, high), (1.1, low), (0.5, low), (-0.1, low)])
    outline = outline + random.normal(0, 0.012, outline.shape)
    alpha = _filled(chip, place, outline, blur=random.uniform(0.3, 2))
    return _over(chip, _shaded(chip, _fabric(chip, random), random), alpha)


def shadow(chip: Pixels, place: Transform, random: Generator) -> Pixels:
    """Let a hat or a light from above leave the eyes in the dark, where they can still be seen."""
    low = random.uniform(0.45, 0.9)
    outline = np.array([(-0.5, -0.6), (1.5, -0.6), (1.5, low), (0.5, low + random.uniform(-0.1, 0.1)), (-0.5, low)])
    dark = _filled(chip, place, outline, blur=random.uniform(1, 8)) * np.float32(random.uniform(0.3, 0.75))
    return _over(chip, np.zeros(3, np.float32), dark)


def _over(chip: Pixels, colour: Colour, alpha: Alpha) -> Pixels:
    mixed = chip + (colour - chip) * alpha[..., None]
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)


def _filled(chip: Pixels, place: Transform, outline: Points, *, blur: float) -> Alpha:
    alpha = np.zeros(chip.shape[:2], np.float32)
    corners = (apply(place, outline) * 16).round().astype(np.int32)
    cv2.fillPoly(alpha, [corners], (1.0,), cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), blur), np.float32)


def _line(chip: Pixels, place: Transform, points: Points, *, width: float) -> Alpha:
    alpha = np.zeros(chip.shape[:2], np.float32)
    scale = float(np.sqrt(abs(np.linalg.det(place[:, :2]))))
    corners = (apply(place, points) * 16).round().astype(np.int32)
    cv2.polylines(alpha, [corners], False, (1.0,), max(1, round(width * scale)), cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), 0.5), np.float32)


def _rounded(outline: Points) -> Points:
    """Chaikin's corner cutting, twice."""
    for _ in range(2):
        following = np.roll(outline, -1, axis=0)
        outline = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], 1).reshape(-1, 2)
    return outline


def _colour(random: Generator, dark: float = 0.3) -> Colour:
    if random.random() < dark:
        return np.asarray(random.uniform(5, 60) + random.normal(0, 8, 3), np.float32).clip(0, 255)
    if random.random() < 0.4:
        return np.asarray(random.uniform(120, 250) + random.normal(0, 10, 3), np.float32).clip(0, 255)
    return np.asarray(random.uniform(0, 255, 3), np.float32)


def _fabric(chip: Pixels, random: Generator) -> Colour:
    """Plain cloth, a pattern of two colours, or a texture of any scale [size, size, 3]."""
    size = chip.shape[0]
    first, second = _colour(random), _colour(random)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    kind = random.random()
    if kind < 0.5:
        share = np.zeros((size, size), np.float32)
    elif kind < 0.65:
        angle, period = random.uniform(0, np.pi), random.uniform(4, 30)
        wave = np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * 2 * np.pi / period)
        share = (wave > random.uniform(-0.5, 0.8)).astype(np.float32)
        if random.random() < 0.4:
            share = share + (np.sin((rows * np.cos(angle) - columns * np.sin(angle)) * 2 * np.pi / period) > 0.3) / 2
    elif kind < 0.75:
        period = random.uniform(6, 24)
        share = (np.sin(rows * 2 * np.pi / period) * np.sin(columns * 2 * np.pi / period) > 0.4).astype(np.float32)
    else:
        share = _noise(size, random, _octaves(random))
    share = share[..., None].clip(0, 1)
    fabric = first * (1 - share) + second * share
    if random.random() < 0.5:
        fabric = fabric + random.normal(0, random.uniform(1, 10), (size, size, 1))
    return np.asarray(fabric, np.float32)


def _octaves(random: Generator) -> Sequence[int]:
    return [int(cells) for cells in random.permutation([2, 4, 8, 16, 32])[: int(random.integers(1, 4))]]


def _noise(size: int, random: Generator, octaves: Sequence[int]) -> Alpha:
    total = np.zeros((size, size), np.float32)
    for cells in octaves:
        total += cv2.resize(random.random((cells, cells), np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(total / len(octaves), np.float32)


def _shaded(chip: Pixels, colour: Colour, random: Generator) -> Colour:
    """Let the light of the face fall on what is drawn."""
    light = cv2.GaussianBlur(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), random.uniform(8, 20))
    relative = (light / max(float(light.mean()), 1.0)) ** np.float32(random.uniform(0, 0.8))
    folds = 1 + np.float32(random.uniform(0, 0.5)) * (_noise(chip.shape[0], random, _octaves(random)) - 0.5)
    return np.asarray(colour * (relative * folds)[..., None], np.float32)


def _tint(chip: Pixels, random: Generator) -> Colour:
    """The colour of lenses: mostly dark, some like a mirror; often lighter towards the bottom."""
    size = chip.shape[0]
    dark = random.uniform(0, 60) + random.normal(0, 10, 3)
    bright = random.uniform(0, 255, 3)
    first = dark if random.random() < 0.75 else bright
    second = np.where(random.random() < 0.5, first, first * random.uniform(0.5, 1.8) + random.uniform(0, 40))
    down = np.linspace(0, 1, size, dtype=np.float32).reshape(-1, 1, 1).clip(0.25, 0.45) * 5 - 1.25
    tint = np.asarray(first * (1 - down) + second * down, np.float32)
    if random.random() < 0.3:
        scene = _noise(size, random, (4, 8))[..., None] * np.float32(random.uniform(20, 120))
        tint = tint + scene
    return np.broadcast_to(tint, (size, size, 3)).astype(np.float32)
