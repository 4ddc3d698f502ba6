"""Reads lists of pairs of pictures, as CSV or in the format of Labeled Faces in the Wild (LFW)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_YES = {"yes", "y", "true", "1"}
_NO = {"no", "n", "false", "0"}
_SEPARATORS = "\t;,"


class UnusablePairs(ValueError):
    """The list is invalid, or names pictures that do not exist; the message gives file and line."""


@dataclass(slots=True)
class Pairs:
    """Pairs of pictures, as indices into a list, and whether each pair shows one person."""

    first: list[int] = field(default_factory=list)
    second: list[int] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)


def read(file: Path, folder: Path, pictures: Sequence[Path]) -> Pairs:
    """Read a list of pairs.

    Args:
        file: each line holds two file names and yes or no, separated by commas, semicolons or tabs. A name is a path
            within the folder, or only a file name if it is unique there. A first line that does not end in yes or no is
            a heading. Alternatively, LFW's ``pairs.txt``: ``Name 1 2`` and ``Name 1 Other 3`` stand for
            ``Name/Name_0001.jpg`` and so on.
        folder: the folder that the names are relative to.
        pictures: the pictures in the folder.

    Raises:
        UnusablePairs: the file cannot be read, a line is invalid, or a name fits no picture or several.
    """
    names: dict[str, list[int]] = {}
    for index, path in enumerate(pictures):
        for name in {path.name, path.relative_to(folder).as_posix()}:
            names.setdefault(name, []).append(index)
    pairs = Pairs()
    for number, (one, other, same) in _lines(file):
        for name, place in ((one, pairs.first), (other, pairs.second)):
            found = names.get(name.replace("\\", "/").removeprefix("./"), [])
            if len(found) != 1:
                raise UnusablePairs(f"{file}, line {number}: {len(found)} pictures are called {name} in {folder}")
            place.append(found[0])
        pairs.same.append(same)
    if not pairs.same:
        raise UnusablePairs(f"{file} lists no pairs")
    return pairs


def _lines(file: Path) -> Iterator[tuple[int, tuple[str, str, bool]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            first = lines.readline()
            separator = max(_SEPARATORS, key=first.count)
            lines.seek(0)
            for number, row in enumerate(csv.reader(lines, delimiter=separator), 1):
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                if (pair := _pair(cells)) is not None:
                    yield number, pair
                elif number > 1:
                    raise UnusablePairs(f"{file}, line {number}: expected two file names and yes or no")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusablePairs(f"{file} cannot be read: {error}") from error


def _pair(cells: Sequence[str]) -> tuple[str, str, bool] | None:
    match cells:
        case [one, other, answer] if answer.lower() in _YES | _NO and not (other.isdigit() and answer.isdigit()):
            return one, other, answer.lower() in _YES
        case [one, first, second] if first.isdigit() and second.isdigit():
            return _of_lfw(one, first), _of_lfw(one, second), True
        case [one, first, other, second] if first.isdigit() and second.isdigit():
            return _of_lfw(one, first), _of_lfw(other, second), False
    return None


def _of_lfw(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04}.jpg"
