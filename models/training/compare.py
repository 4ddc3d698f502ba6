"""Two versions of a model on the same held-out people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from models.model import Model
from models.training.measure import Comparisons, degraded
from models.training.samples import TrainingSet

_VIEWS = 2
"""Times that each picture is degraded, each time otherwise."""

Pair = tuple[Comparisons, Comparisons]
"""Of the old version, and of the new one."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Clean against clean pictures, degraded against clean ones, and the same with templates of the old version.

    The last tells whether new probes may meet old templates before a gallery is embedded again.
    """

    clean: Pair
    degraded: Pair
    compatible: Pair

    @classmethod
    def of(cls, old: Model, new: Model, test: TrainingSet, seed: int) -> Self:
        """Embed and compare; see :mod:`models.training.measure`."""
        views = [degraded(test.chips, seed * 100 + view) for view in range(_VIEWS)]
        templates = {model: model.embed(test.chips) for model in (old, new)}
        probes = {model: [model.embed(view) for view in views] for model in (old, new)}

        def clean(model: Model) -> Comparisons:
            return Comparisons.of(templates[model], templates[model], test.labels)

        def poor(probing: Model, enrolled: Model) -> Comparisons:
            compared = [Comparisons.of(view, templates[enrolled], test.labels) for view in probes[probing]]
            return Comparisons.repeated(compared)

        before = poor(old, old)
        return cls((clean(old), clean(new)), (before, poor(new, new)), (before, poor(new, old)))
