"""The templates of all users of a shard that a search over everybody may find, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.matching.gallery import Embedded, Gallery
from schemas import codec

_ALL = ""
"""One user of the galleries stands for all."""
_BETWEEN = "\x00"
"""Stands between user and subject, where it leaves the order of names as it is: no name has a character before it."""


class Found(NamedTuple):
    """A subject near a probe, and the distance of its nearest template."""

    distance: float
    user_id: str
    subject_id: str


class SearchableTemplates:
    """Templates of many users by model version, searched in one pass over their vectors.

    The galleries of the users are apart because a frame is compared with one of them. A search over thousands of small
    ones would take a hundred times as long, so it has its own copy. Not thread-safe.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """``folder`` as :class:`models.matching.gallery.Gallery` takes it."""
        self._folder = folder
        self._galleries: dict[str, Gallery] = {}

    def count(self, model_version: str) -> int:
        """The number of templates of a version."""
        gallery = self._galleries.get(model_version)
        return 0 if gallery is None else len(gallery)

    def fill(self, user_id: str, names: Sequence[tuple[str, str]], templates: Embedded) -> None:
        """Add templates [n, dimensions] of a user that are not there yet, given the subject and the id of each."""
        gallery = self._galleries.get(templates.model_version)
        if gallery is None:
            gallery = Gallery(templates.model_version, templates.vectors.shape[-1], self._folder)
            self._galleries[templates.model_version] = gallery
        joined = [(user_id + _BETWEEN + subject_id, _id(user_id, template_id)) for subject_id, template_id in names]
        gallery.fill(_ALL, joined, templates)

    def discard(self, user_id: str, template_id: str, model_version: str) -> None:
        """Remove a template, if it is there."""
        gallery = self._galleries.get(model_version)
        if gallery is not None and len(gallery):
            gallery.discard(_ALL, _id(user_id, template_id))

    def nearest(self, probes: Embedded, k: int) -> list[list[Found]]:
        """The k nearest subjects of each probe [n, dimensions] among those of all users, nearest first.

        The distance is that of the subject's nearest template of the probes' version, computed as
        :meth:`models.matching.gallery.Gallery.nearest` does it; equal ones are in the order of user and subject.
        """
        gallery = self._galleries.get(probes.model_version)
        if gallery is None:
            return [[] for _ in np.atleast_2d(probes.vectors)]
        return [
            [Found(distance, *name.split(_BETWEEN, 1)) for name, distance in found]
            for found in gallery.nearest(_ALL, probes, k)
        ]


def _id(user_id: str, template_id: str) -> str:
    """Event ids are unique for a user, and those of two users may be the same."""
    return codec.stable_id(user_id, template_id)
