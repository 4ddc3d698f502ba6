"""Puts a model version of the user's own beside the others."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from models.embedder.card import Card, UnusableModel
from models.embedder.model import Model
from models.embedder.references import Reference
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class ImportedVersion:
    """A version and its folder; ``known_as`` says what it is already, None if it was imported."""

    version: str
    folder: Path
    known_as: str | None = None


def import_version(folder: Path, settings: Settings) -> ImportedVersion:
    """Copy a version to the others, once it has been loaded and tried. Importing it again changes nothing.

    Raises:
        UnusableModel: it cannot be loaded, or its name is taken or cannot be the name of a folder.
    """
    card = Card.read(folder)
    references = [reference.folder for reference in Reference]
    for there in filter(None, (settings.model_dir, *references)):
        if Card.read(there) == card:
            known_as = "a reference model" if there in references else f"the version of FACESTREAM_MODEL_DIR, {there},"
            return ImportedVersion(card.version, there, known_as)
        if Card.read(there).version == card.version:
            raise _name_is_taken(card, there)
    target = settings.versions_dir / card.version
    if Path(card.version).name != card.version:
        raise UnusableModel(f"{card.version!r} cannot be the name of a folder: change `version` in {folder}/card.json")
    if target.exists() and Card.read(target) != card:
        raise _name_is_taken(card, target)
    Model.load(folder, threads=settings.cpu_threads)
    if not target.exists():
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(folder, partial)
        partial.rename(target)
    return ImportedVersion(card.version, target)


def _name_is_taken(card: Card, folder: Path) -> UnusableModel:
    return UnusableModel(f"{folder} holds another {card.version}: give this one another name on its card")
