"""The enrolled templates in memory, with exact search among the templates of one user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.matching.codings import Coding, Compact, Halved
from models.matching.many_templates import ManyTemplates
from models.matching.user_templates import FEW, SAME, FewTemplates, UserTemplates, Vectors
from models.matching.vector_file import VectorFile

__all__ = ["SAME", "Embedded", "Gallery", "MixedVersions", "Vectors"]


class MixedVersions(TypeError):
    """An attempt to compare vectors of two model versions."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors [..., dimensions] and the model version that made them; vectors of two versions are not comparable."""

    model_version: str
    vectors: Vectors


class Gallery:
    """Templates of one model version by user. Not thread-safe: one gallery belongs to one thread.

    It accepts vectors of its own version only; others raise :class:`MixedVersions`. A template takes the memory of its
    vector, or a quarter of that if it is compact, and less than 100 bytes. A change costs the same in a gallery of any
    size; what concerns one subject costs as much as is found; a search goes over all vectors of the user.
    """

    def __init__(self, model_version: str, dimensions: int, folder: Path | None = None) -> None:
        """An empty gallery.

        Args:
            model_version: of all templates.
            dimensions: of a vector.
            folder: of a file with the vectors of users with many templates, of which only codes of 8 bits are then in
                memory; None: all are in memory. Answers are the same.

        Raises:
            OSError: there can be no file in the folder; methods raise it if the file cannot be read or written.
        """
        self._file = None if folder is None else VectorFile(folder, dimensions)
        self.model_version = model_version
        self.dimensions = dimensions
        self._users: dict[str, UserTemplates] = {}
        self._count = 0

    def __len__(self) -> int:
        """The number of templates of all users."""
        return self._count

    def put(self, user_id: str, subject_id: str, template_id: str, template: Embedded) -> bool:
        """Add a template [dimensions], or replace the one with the same id; return whether it is a new one.

        Raises:
            MixedVersions: it is of another model version.
            ValueError: the vector has another length.
        """
        vector = self._own(template)
        if vector.shape != (self.dimensions,):
            raise ValueError(f"template {template_id} has the shape {vector.shape}, not ({self.dimensions},)")
        own = self._users.get(user_id)
        if own is None:
            own = self._users[user_id] = FewTemplates(self.dimensions)
        is_new = own.put(subject_id, template_id, vector)
        self._count += is_new
        if isinstance(own, FewTemplates) and len(own) > FEW:
            self._users[user_id] = ManyTemplates.of_few(own, self.dimensions, self._coding())
        return is_new

    def fill(self, user_id: str, names: Sequence[tuple[str, str]], templates: Embedded) -> None:
        """Add templates [n, dimensions] that the user does not have yet: faster than one after another.

        Args:
            user_id: whose they are.
            names: subject and template id of each.
            templates: their vectors.

        Raises:
            MixedVersions: they are of another model version.
            ValueError: the vectors have another length.
        """
        vectors = self._own(templates)
        if vectors.shape != (len(names), self.dimensions):
            raise ValueError(f"templates have the shape {vectors.shape}, not ({len(names)}, {self.dimensions})")
        own = self._users.get(user_id) or FewTemplates(self.dimensions)
        if isinstance(own, FewTemplates) and len(own) + len(names) > FEW:
            own = ManyTemplates.of_few(own, self.dimensions, self._coding())
        own.extend(names, vectors)
        self._count += len(names)
        if len(own):
            self._users[user_id] = own

    def discard(self, user_id: str, template_id: str) -> bool:
        """Remove a template; return False if there is none with this id."""
        own = self._users.get(user_id)
        if own is None or not own.discard(template_id):
            return False
        self._count -= 1
        if not len(own):
            del self._users[user_id]
        elif isinstance(own, ManyTemplates) and len(own) <= FEW // 2:
            self._users[user_id] = own.to_few(self.dimensions)
        return True

    def has(self, user_id: str, template_id: str) -> bool:
        """Whether a user has a template with this id."""
        own = self._users.get(user_id)
        return own is not None and template_id in own

    def count(self, user_id: str) -> int:
        """The number of a user's templates."""
        own = self._users.get(user_id)
        return len(own) if own else 0

    def of(self, user_id: str, subject_id: str | None) -> list[str]:
        """The ids of the templates of a user's subject; None: of all subjects."""
        own = self._users.get(user_id)
        if own is None:
            return []
        return list(own.ids()) if subject_id is None else own.of(subject_id)

    def ids(self) -> Iterator[tuple[str, str]]:
        """User and id of each template; the gallery must not be changed meanwhile."""
        return ((user_id, template_id) for user_id, own in self._users.items() for template_id in own.ids())

    @property
    def user_count(self) -> int:
        """The number of users with at least one template."""
        return len(self._users)

    def users(self) -> list[str]:
        """The users with at least one template."""
        return list(self._users)

    def subjects(self, user_id: str) -> list[str]:
        """The subjects of a user with at least one template."""
        own = self._users.get(user_id)
        return own.subjects() if own else []

    def templates(self, user_id: str, subject_id: str) -> int:
        """The number of a subject's templates."""
        own = self._users.get(user_id)
        return own.count(subject_id) if own else 0

    def nearest(self, user_id: str, probes: Embedded, k: int) -> list[list[tuple[str, float]]]:
        """The k nearest subjects of each probe [n, dimensions], by their nearest template, nearest first.

        Distances are Euclidean, computed in float32 from differences; of equal ones the first name comes first. There
        are fewer than k if the user has fewer subjects.

        Raises:
            MixedVersions: the probes are of another model version.
        """
        vectors = self._own(probes)
        own = self._users.get(user_id)
        return own.nearest(vectors, k) if own else [[] for _ in vectors]

    def distances(self, user_id: str, subject_id: str, probes: Embedded) -> Vectors:
        """The distance [n] of each probe [n, dimensions] to the subject's nearest template; infinite without one.

        Raises:
            MixedVersions: the probes are of another model version.
        """
        vectors = self._own(probes)
        own = self._users.get(user_id)
        if own is None:
            return np.full(len(vectors), np.inf, np.float32)
        return own.to_subject(subject_id, vectors)

    def same(self, user_id: str, subject_id: str, template: Embedded) -> list[str]:
        """The ids of a subject's templates that have the same vector [dimensions] as this one, so the same picture.

        Raises:
            MixedVersions: it is of another model version.
        """
        vector = self._own(template)
        own = self._users.get(user_id)
        return own.same(subject_id, vector) if own else []

    def copies(self, user_id: str, subject_id: str) -> list[list[str]]:
        """Groups of a subject's templates that are of the same picture, each with two ids or more."""
        own = self._users.get(user_id)
        return own.copies(subject_id) if own else []

    def nearest_other(self, user_id: str, subject_id: str, template: Embedded) -> tuple[str, float] | None:
        """The nearest subject to a template [dimensions] other than its own, with the distance; None without one.

        Raises:
            MixedVersions: it is of another model version.
        """
        vector = self._own(template)
        own = self._users.get(user_id)
        return own.nearest_other(subject_id, vector) if own else None

    def _coding(self) -> Coding:
        return Halved() if self._file is None else Compact(self._file)

    def _own(self, embedded: Embedded) -> Vectors:
        if embedded.model_version != self.model_version:
            raise MixedVersions(f"vectors of {embedded.model_version} do not fit a gallery of {self.model_version}")
        return np.asarray(embedded.vectors, np.float32)
