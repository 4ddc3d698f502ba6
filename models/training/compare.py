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
"""The comparisons by the old version, and by the new one."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Comparisons of the held-out people's pictures by both versions.

    Attributes:
        clean: clean probes with clean templates.
        degraded: degraded probes with clean templates.
        compatible: the same, but the new version's probes with the old version's templates: whether they can be
            compared before a gallery is embedded again.
        groups: for each group (see :mod:`models.evaluation.groups`), its pairs as in ``clean`` and ``degraded``.
    """

    clean: Pair
    degraded: Pair
    compatible: Pair
    groups: dict[Group, tuple[Pair, Pair]]

    @classmethod
    def of(cls, old: Model, new: Model, test: TrainingSet, seed: int) -> Self:
        """Embed the pictures and compare them; see :mod:`models.training.measure`."""
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
