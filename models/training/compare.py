"""Compares two versions of a model on the same held-out people."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Self

from models.embedder.model import Model
from models.evaluation.comparisons import Chosen, Comparisons
from models.evaluation.groups import Group, groups_of, within
from models.training.measure import degraded
from models.training.samples import TrainingSet

_VIEWS = 2
"""How often each picture is degraded, each time differently."""

Pair = tuple[Comparisons, Comparisons]
"""The values of the old and of the new version."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Clean against clean pictures, degraded against clean ones, and the same with templates of the old version.

    The last tells whether new probes may meet old templates before a gallery is embedded again. ``groups`` has the
    pairs within each group of the pictures, see :mod:`models.evaluation.groups`: clean ones, and degraded ones.
    """

    clean: Pair
    degraded: Pair
    compatible: Pair
    groups: dict[Group, tuple[Pair, Pair]]

    @classmethod
    def of(cls, old: Model, new: Model, test: TrainingSet, seed: int) -> Self:
        """Embed and compare; see :mod:`models.training.measure`."""
        views = [degraded(test.chips, seed * 100 + view) for view in range(_VIEWS)]
        templates = {model: model.embed(test.chips) for model in (old, new)}
        probes = {model: [model.embed(view) for view in views] for model in (old, new)}

        def clean(model: Model, chosen: Chosen = None) -> Comparisons:
            return Comparisons.of(templates[model], templates[model], test.labels, chosen)

        def poor(probing: Model, enrolled: Model, chosen: Chosen = None) -> Comparisons:
            views = (Comparisons.of(view, templates[enrolled], test.labels, chosen) for view in probes[probing])
            return Comparisons.repeated(list(views))

        def both(group: Group) -> tuple[Pair, Pair]:
            chosen = partial(within, test.groups[group.by], group.name)
            return (clean(old, chosen), clean(new, chosen)), (poor(old, old, chosen), poor(new, new, chosen))

        before = poor(old, old)
        return cls(
            (clean(old), clean(new)),
            (before, poor(new, new)),
            (before, poor(new, old)),
            {group: both(group) for group in groups_of(test.groups)},
        )
