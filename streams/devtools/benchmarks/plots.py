"""Plots of figures, as SVG: horizontal bars, without a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_COLOURS = ("#3b6ea5", "#e08a3c", "#6aa84f", "#a64d79")
_WIDTH, _LABELS, _VALUES = 760, 210, 90
_BAR, _GAP, _HEAD = 16, 10, 34


@dataclass(frozen=True, slots=True)
class Plot:
    """Bars in groups.

    Attributes:
        title: what is shown, with its unit.
        series: names of the bars of each group; one name is not shown.
        rows: label of each group, and its values, None where there is none.
    """

    title: str
    series: Sequence[str]
    rows: Mapping[str, Sequence[float | None]]

    def svg(self) -> str:
        """The picture."""
        greatest = max((one for row in self.rows.values() for one in row if one is not None), default=0.0) or 1.0
        scale = (_WIDTH - _LABELS - _VALUES) / greatest
        parts, y = [_text(0, 20, self.title, "title")], _HEAD
        if len(self.series) > 1:
            for number, name in enumerate(self.series):
                x = _LABELS + 150 * number
                parts += [_box(x, y, 10, 10, number), _text(x + 15, y + 10, name)]
            y += 24
        for label, values in self.rows.items():
            parts.append(_text(_LABELS - 8, y + _BAR * len(values) / 2 + 4, label, "label"))
            for number, value in enumerate(values):
                if value is not None:
                    width = max(1.0, value * scale)
                    parts += [
                        _box(_LABELS, y, width, _BAR - 2, number),
                        _text(_LABELS + width + 5, y + 11, f"{value:g}"),
                    ]
                y += _BAR
            y += _GAP
        style = (
            "text{font:12px sans-serif;fill:#444}.title{font-size:14px;font-weight:bold}.label{text-anchor:end}"
            "svg{background:#fff}"
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" '
            f'role="img"><title>{escape(self.title)}</title><style>{style}</style>\n' + "\n".join(parts) + "\n</svg>\n"
        )


def _box(x: float, y: float, width: float, height: float, series: int) -> str:
    colour = _COLOURS[series % len(_COLOURS)]
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    chosen = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{chosen}>{escape(text)}</text>'
