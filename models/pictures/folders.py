"""Finds pictures in folders; ignores thumbnails, trash folders and other system files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.pictures.formats import HEAD_BYTES, SUFFIXES, format_of

_SYSTEM = frozenset(
    {
        # Network storage: Synology, QNAP, NetApp, TrueNAS.
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@sharebin", "@sharesnap", "@snapshots", "@database"),
        *("#recycle", "#snapshot", "~snapshot"),
        # Windows.
        *("$recycle.bin", "recycler", "recycled", "system volume information", "found.000"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini"),
        # macOS and Linux; names that begin with a dot are left out anyway.
        *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder", "icon\r", "lost+found"),
    }
)
_SYSTEM_ENDINGS = ("@synoeastream", "@synoresource")
_NAMED = 3


def is_system(name: str) -> bool:
    """Whether this is the name of a hidden or system file or folder."""
    small = name.casefold()
    return small.startswith(".") or small in _SYSTEM or small.endswith(_SYSTEM_ENDINGS)


@dataclass(slots=True)
class FoundPictures:
    """The pictures in a folder and its subfolders.

    Attributes:
        pictures: the files, sorted by path; see :func:`is_picture`.
        left_out: hidden and system files and folders, and links to folders.
        unreadable: folders that cannot be read, and broken links with the name of a picture, each with the reason.
    """

    pictures: list[Path] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    unreadable: dict[Path, str] = field(default_factory=dict)

    def add(self, other: FoundPictures) -> None:
        """Add what was found in another folder."""
        self.pictures += other.pictures
        self.left_out += other.left_out
        self.unreadable |= other.unreadable

    @property
    def left_out_in_words(self) -> str:
        """A sentence about what was left out."""
        return left_out_in_words(self.left_out)


def left_out_in_words(paths: Sequence[Path | str]) -> str:
    """A sentence about the hidden and system files and folders that were left out."""
    names = list(dict.fromkeys(Path(path).name for path in paths))
    shown = ", ".join(map(repr, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")
    return f"left out: {len(paths)} hidden or system files and folders, or links to folders ({shown})"


def pictures_below(folder: Path, depth: int | None = None) -> FoundPictures:
    """Find the pictures in a folder; files that cannot be read raise no error.

    Args:
        folder: may be a link, or have the name of a system folder.
        depth: number of levels; 1: only the folder's own files; None: all.
    """
    found = FoundPictures()
    _look(folder, found, depth)
    found.pictures.sort()
    found.left_out.sort()
    return found


def folders_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders in a folder, including links to folders; and the hidden and system files and folders left out.

    Raises:
        OSError: it cannot be read.
    """
    folders, left_out = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_system(entry.name):
                left_out.append(folder / entry.name)
            elif _is_folder(entry):
                folders.append(folder / entry.name)
    return sorted(folders), sorted(left_out)


def is_picture(file: Path) -> bool:
    """Whether a file is a picture, by its suffix, or if it has none, by its first bytes."""
    suffix = file.suffix.lower()
    if suffix and not suffix[1:].isdecimal():
        return suffix in SUFFIXES
    try:
        if not file.is_file():
            return False
        with file.open("rb") as opened:
            return format_of(opened.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def _look(folder: Path, found: FoundPictures, depth: int | None) -> None:
    for entry in _entries(folder, found):
        path = folder / entry.name
        if is_system(entry.name):
            found.left_out.append(path)
        elif _is_folder(entry):
            if depth == 1:
                continue
            if entry.is_symlink():
                found.left_out.append(path)
            else:
                _look(path, found, None if depth is None else depth - 1)
        elif is_picture(path):
            if path.is_file():
                found.pictures.append(path)
            elif entry.is_symlink():
                found.unreadable[path] = "the link is broken"


def _entries(folder: Path, found: FoundPictures) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        found.unreadable[folder] = error.strerror or str(error)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
