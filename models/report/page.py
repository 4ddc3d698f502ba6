"""Renders a model card as a self-contained HTML page with facts, lineage and plots."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from models.embedder.card import Card
from models.evaluation import discard
from models.report import plots
from models.training import gate


def page(card: Card, folder: Path) -> str:
    """Render the page of a version as HTML.

    Args:
        card: the card of the version; the page says what it lacks.
        folder: the folder of the version, for the size of its weights and the curve beside the card.
    """
    pages = Environment(
        loader=PackageLoader("models", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    lineage, curve = card.lineage, discard.read(folder)
    return pages.get_template("page.html").render(
        card=card,
        lineage=lineage,
        refusals=gate.refusals(lineage) if lineage else [],
        least=gate.Rules().people_tested,
        weights_bytes=_size(folder / card.weights.file) if card.weights else None,
        roc=Markup(plots.roc(card.scores)) if card.scores else None,
        distances={kind: Markup(plots.distances(one, card.threshold())) for kind, one in card.scores.items()},
        curve=curve,
        discard=Markup(plots.discard(curve)) if curve else None,
        false_matches=Markup(plots.false_matches(card)),
        course=Markup(plots.course(lineage.history)) if lineage and lineage.history else None,
    )


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
