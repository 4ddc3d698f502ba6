"""Opens a file of vectors for an import: finds out which model made them, and checks them by its card."""

from __future__ import annotations

from pathlib import Path

from streams.model_registry import records
from streams.operations.vector_files import file as vector_file
from streams.operations.vector_files.columns import UnusableVectors
from streams.operations.vector_files.file import VectorFile
from streams.settings import Settings


def open_vectors(settings: Settings, path: Path, model_version: str | None = None) -> VectorFile:
    """Read a file of vectors and check every row.

    Args:
        settings: of the installation.
        path: of the file.
        model_version: which made the vectors, if the file does not say so.

    Raises:
        UnusableVectors: the version is not known, or something in the file cannot be true.
        KafkaUnavailable: no broker answers.
        UnusableModel: FACESTREAM_MODEL_DIR has no card.
        OSError: the file cannot be read.
    """
    named = vector_file.version_of(path)
    if named is not None and model_version not in (None, named):
        raise UnusableVectors(f"{path} has vectors of {named}, and not of {model_version}: leave --model out")
    version = named or model_version
    if version is None:
        raise UnusableVectors(f"{path} does not say which model version made its vectors: give it with --model")
    base = records.base_card(settings)
    known = {base.version: base}
    known |= {one.version: records.card_of(one) for one in records.read_registry(settings).records}
    if version not in known:
        raise UnusableVectors(
            f"{path} has vectors of the model version {version}, which is unknown here (known: "
            f"{', '.join(sorted(known))}): add it with `facestream models import`"
        )
    return vector_file.read(path, known[version])
