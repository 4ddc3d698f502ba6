"""Plots of a model card, as SVG that can be embedded in a page: with text as text, without external resources."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.embedder.card import Card, Scores, Validated
from models.evaluation.discard import SHARES, DiscardCurve

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "facestream",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "legend.frameon": False,
}
_GENUINE, _IMPOSTOR, _LINE = "#0072b2", "#d55e00", "#555555"
"""The first two are blue and vermilion of Okabe and Ito's palette, which colour-blind people can tell apart."""


def roc(scores: Mapping[str, Scores]) -> str:
    """TAR over FAR, one curve for each kind of pictures."""
    with _plot("FAR", "TAR") as (axes, svg):
        for kind, one in scores.items():
            axes.plot(*zip(*one.roc, strict=True), label=kind)
        axes.set(xscale="log", ylim=(0, 1.02))
        axes.legend(loc="lower right")
    return svg.getvalue()


def distances(scores: Scores, threshold: float) -> str:
    """The distributions of genuine and impostor distances, and the threshold."""
    ends = [0.0, *(end for end, _, _ in scores.distances)]
    with _plot("distance", "share of the pairs, %") as (axes, svg):
        for at, (name, colour) in enumerate((("genuine", _GENUINE), ("impostor", _IMPOSTOR)), 1):
            shares = [100 * one[at] for one in scores.distances]
            axes.stairs(shares, ends, fill=True, alpha=0.5, color=colour, label=name)
        axes.axvline(threshold, color=_LINE, linestyle="--", label="default threshold")
        axes.legend()
    return svg.getvalue()


def false_matches(card: Card) -> str:
    """FMR over distance, with the threshold sets; extrapolated sets are hollow."""
    with _plot("distance", "FMR") as (axes, svg):
        axes.plot(*zip(*card.fmr_curve, strict=True), color=_IMPOSTOR)
        for name, distance in card.thresholds.items():
            face = "white" if name in card.extrapolated else _LINE
            axes.plot(distance, card.fmr(distance), "o", color=_LINE, markerfacecolor=face)
            axes.annotate(name, (distance, card.fmr(distance)), (6, -4), textcoords="offset points")
        axes.set(yscale="log")
    return svg.getvalue()


def course(history: Sequence[Validated]) -> str:
    """The losses of a training, and the TAR of held-out people, over its steps."""
    with _plot("step", "loss") as (axes, svg):
        steps, losses = zip(*((now.step, now.loss) for now in history), strict=True)
        axes.plot(steps, losses, ".-", color=_IMPOSTOR, label="training loss")
        held_out = [(now.step, now.validation, now.tar) for now in history if None not in (now.validation, now.tar)]
        if held_out:
            steps, losses, tars = zip(*held_out, strict=True)
            axes.plot(steps, losses, ".--", color=_IMPOSTOR, label="validation loss")
            right = axes.twinx()
            right.plot(steps, tars, ".-", color=_GENUINE, label="validation TAR")
            right.set(ylabel="TAR at FAR 1e-2")
            right.spines["right"].set_visible(True)
            right.grid(visible=False)
        axes.set(ylim=(0, None))
        axes.figure.legend(loc="outside upper center", ncols=3)
    return svg.getvalue()


def discard(curve: DiscardCurve) -> str:
    """FNMR over the share of the photographs discarded, and what it would be without a quality."""
    with _plot("photographs discarded, %", "FNMR") as (axes, svg):
        axes.plot([100 * share for share in SHARES], curve.fnmr, color=_GENUINE, label="by quality")
        axes.axhline(curve.fnmr[0], color=_LINE, linestyle="--", label="at random")
        axes.set(ylim=(0, None))
        axes.legend()
    return svg.getvalue()


@contextmanager
def _plot(x: str, y: str) -> Iterator[tuple[Axes, io.StringIO]]:
    """Axes to draw on, and a buffer that holds the SVG afterwards."""
    svg = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure = Figure((6, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.set(xlabel=x, ylabel=y)
        yield axes, svg
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata=dict.fromkeys(["Creator", "Date", "Format", "Type"]))
    # The XML declaration and the address of a DTD are not allowed in HTML.
    svg.write(drawn.getvalue()[drawn.getvalue().index("<svg") :])
