"""Protects Kafka's data folder: checks it before each start, and keeps a copy of the metadata.

If the metadata log is gone, Kafka considers the folder that of a new cluster, and renames the folders of all topics to
``-stray``. If a partition's folder is gone, Kafka silently creates an empty one. So the list of partitions is kept, and
compared at each start.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from infra.supervisor import ChildFailed

METADATA = "__cluster_metadata-0"
ACCEPT = "facestream up --accept-loss"
_PARTITIONS = "partitions.json"
_IDENTITY = "partition.metadata"
_NOTE = re.compile(rb"0\r?\n\d+\r?\n")
"""The beginning of Kafka's checkpoint files: a version, and the number of lines."""
_SMALL = ("meta.properties", "bootstrap.checkpoint")
_FOLDER = re.compile(r"(?P<topic>.+)-\d+")
_SET_ASIDE = re.compile(r"(?P<folder>.+-\d+)\.[0-9a-f]{32}-(?P<how>stray|delete)")
_BATCH = struct.Struct(">qi11xi")
"""The header of a record batch: first offset, length of the rest, and last offset minus first offset."""


class DataLost(ChildFailed):
    """Something in Kafka's data folder has disappeared and cannot be restored; a person has to decide what to do."""


class Kept:
    """A copy on the same disk: the metadata log, the files that identify the cluster, and the list of partitions."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._folder = data.with_name("kept")

    def take(self, *, anew: bool = False) -> None:
        """Update the copy, while Kafka runs or afterwards. If that fails, the previous copy remains.

        Args:
            anew: copy everything again, as after a start, when Kafka may have truncated its log.
        """
        if not end_offset(self._data / METADATA):
            return
        new, old = self._folder.with_suffix(".new"), self._folder.with_suffix(".old")
        with suppress(OSError):
            shutil.rmtree(new, ignore_errors=True)
            (new / METADATA).mkdir(parents=True)
            for name in _SMALL:
                if (self._data / name).exists():
                    shutil.copyfile(self._data / name, new / name)
            for file in _needed(self._data / METADATA):
                _copy(file, new / METADATA / file.name, None if anew else self._folder / METADATA / file.name)
            topics = {name: _identity(self._data / name) for name in sorted(partitions(self._data))}
            (new / _PARTITIONS).write_text(json.dumps(topics), "utf-8")
            shutil.rmtree(old, ignore_errors=True)
            if self._folder.exists():
                self._folder.rename(old)
            new.rename(self._folder)
            shutil.rmtree(old, ignore_errors=True)

    def make_whole(self, report: Callable[[str], None]) -> None:
        """Check the data before a start, and restore from the copy what can be restored.

        Raises:
            DataLost: records are gone, or nothing says any more which topics there were.
        """
        copy, there = self._copy(), partitions(self._data)
        aside = _set_aside(self._data)
        _drop_unreadable(self._data, report)
        if copy is None:
            if (there or aside) and not (cluster(self._data) and end_offset(self._data / METADATA)):
                raise DataLost(
                    f"{self._data} holds the records of {_listed(there or aside)}, but not which topics they belong "
                    f"to ({METADATA} or meta.properties is gone or empty): put it back from a backup, or begin "
                    f"without any of it: `{ACCEPT}`"
                )
            return
        wanted = _remembered(copy)
        if wanted and not (there or aside):
            raise DataLost(
                f"the records of {_listed(wanted)} are gone from {self._data}: put the folder back from a backup, or "
                f"begin without them: `{ACCEPT}`"
            )
        self._data.mkdir(exist_ok=True)
        for name in _SMALL:
            if (copy / name).exists() and not (self._data / name).exists():
                shutil.copyfile(copy / name, self._data / name)
                report(f"Kafka's {name} was gone: it is back from the copy in {copy}")
        if end_offset(self._data / METADATA) < end_offset(copy / METADATA):
            self._restore_metadata(copy, report)
        if back := [name for name in wanted if name not in there and aside.get(name, Path()).name.endswith("-stray")]:
            for name in back:
                shutil.rmtree(self._data / name, ignore_errors=True)  # without a log, or it would be there
                aside[name].rename(self._data / name)
            report(f"Kafka had set the records of {_listed(back)} aside: they are back")
        there = partitions(self._data)
        if gone := [name for name in wanted if name not in there and name not in aside]:
            raise DataLost(
                f"the records of {_listed(gone)} are gone from {self._data}: put the folders back from a backup, or go "
                f"on without these records: `{ACCEPT}`"
            )
        for name, identity in wanted.items():
            if identity and name in there and not _identity(self._data / name):
                (self._data / name / _IDENTITY).write_text(identity, "utf-8")
                report(f"{name}/{_IDENTITY} was gone: it is back from the copy in {copy}")
        self.take(anew=True)

    def accept_loss(self, report: Callable[[str], None]) -> None:
        """Let Kafka start with the data that exists, or with no data if it cannot use what exists."""
        try:
            self.make_whole(report)
        except DataLost as lost:
            report(f"accepted: {str(lost).partition(':')[0]}")
        usable = cluster(self._data) and end_offset(self._data / METADATA)
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._data.exists() and not usable:
            left = self._data.with_name(f"{self._data.name}.lost-{time.strftime('%Y%m%d-%H%M%S')}")
            self._data.rename(left)
            report(f"what is left of Kafka's data lies in {left}, and is not used")

    def _copy(self) -> Path | None:
        """The copy, if there is one and it belongs to the same cluster as the data."""
        for folder in (self._folder, self._folder.with_suffix(".old")):
            if end_offset(folder / METADATA) and cluster(folder):
                return folder if cluster(self._data) in (None, cluster(folder)) else None
        return None

    def _restore_metadata(self, copy: Path, report: Callable[[str], None]) -> None:
        live = self._data / METADATA
        if live.exists():
            shutil.rmtree(damaged := self._data.with_name("metadata.damaged"), ignore_errors=True)
            live.rename(damaged)
        shutil.rmtree(partial := self._data.with_name("metadata.partial"), ignore_errors=True)
        shutil.copytree(copy / METADATA, partial)
        partial.rename(live)
        taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime((copy / _PARTITIONS).stat().st_mtime))
        report(f"Kafka's list of topics ({METADATA}) was damaged: it is back as it was at {taken}")


def partitions(data: Path) -> set[str]:
    """The names of the partition folders that have a log."""
    return {name for name, folder in _folders(data) if _FOLDER.fullmatch(name) and _has_log(folder)}


def cluster(data: Path) -> str | None:
    """The id of the cluster that the data belongs to."""
    with suppress(OSError):
        found = re.search(r"^cluster\.id=(\S+)$", (data / "meta.properties").read_text("latin-1"), re.MULTILINE)
        return found[1] if found else None
    return None


def end_offset(folder: Path) -> int:
    """The next offset of the metadata log in a folder: after its last complete batch, or after its last snapshot."""
    ends = [0]
    for file in _needed(folder):
        first = file.name.partition(".")[0].partition("-")[0]
        if file.suffix == ".checkpoint" and first.isdigit() and file.stat().st_size:
            ends.append(int(first))
        elif file.suffix == ".log":
            ends.append(_end_of_segment(file))
    return max(ends)


def _end_of_segment(file: Path) -> int:
    end = 0
    with suppress(OSError), file.open("rb") as log:
        size, at = os.fstat(log.fileno()).st_size, 0
        while len(head := log.read(_BATCH.size)) == _BATCH.size:
            first, length, last = _BATCH.unpack(head)
            if length <= _BATCH.size or at + 12 + length > size:
                break
            end, at = first + last + 1, at + 12 + length
            log.seek(at)
    return end


def _needed(folder: Path) -> Iterator[Path]:
    """The files of the metadata log from which Kafka can rebuild the others."""
    names = ("leader-epoch-checkpoint", _IDENTITY, "quorum-state")
    with suppress(OSError):
        for file in sorted(folder.iterdir()):
            if file.suffix in (".log", ".checkpoint") or file.name in names:
                yield file


def _copy(source: Path, target: Path, before: Path | None) -> None:
    """Copy a file; if it has only grown since the previous copy, copy only the new part."""
    if source.suffix == ".log" and before and before.exists() and before.stat().st_size <= source.stat().st_size:
        os.link(before, target)
        with source.open("rb") as new, target.open("ab") as copy:
            new.seek(copy.tell())
            shutil.copyfileobj(new, copy)
    else:
        shutil.copyfile(source, target)


def _folders(data: Path) -> Iterator[tuple[str, Path]]:
    with suppress(OSError):
        for folder in data.iterdir():
            if folder.is_dir() and folder.name != METADATA:
                yield folder.name, folder


def _set_aside(data: Path) -> dict[str, Path]:
    """The folders that Kafka has renamed because their topic is unknown or deleted, by their original names."""
    return {found["folder"]: folder for name, folder in _folders(data) if (found := _SET_ASIDE.fullmatch(name))}


def _has_log(folder: Path) -> bool:
    with suppress(OSError):
        return any(file.suffix == ".log" for file in folder.iterdir())
    return False


def _remembered(copy: Path) -> dict[str, str]:
    """The partitions at the time of the copy, each with what identifies its topic."""
    with suppress(OSError, ValueError):
        found: dict[str, str] = json.loads((copy / _PARTITIONS).read_text("utf-8"))
        return found
    return {}


def _identity(folder: Path) -> str:
    """What tells Kafka which topic a partition's folder belongs to; without it, Kafka sets its records aside."""
    with suppress(OSError, ValueError):
        text = (folder / _IDENTITY).read_text("utf-8")
        return text if "topic_id" in text else ""
    return ""


def _drop_unreadable(data: Path, report: Callable[[str], None]) -> None:
    """Remove damaged checkpoint files: Kafka rebuilds missing ones, but fails if it cannot read them."""
    notes = [*data.glob("*-checkpoint"), *data.glob("*/leader-epoch-checkpoint")]
    for note in notes:
        with suppress(OSError):
            text = note.read_bytes()
            if text and not _NOTE.match(text):
                note.unlink()
                report(f"{note} could not be read: Kafka rebuilds it")


def _listed(folders: Iterable[str]) -> str:
    """The topics of these folders, with the numbers of their partitions."""
    counts = Counter(found["topic"] for name in folders if (found := _FOLDER.fullmatch(name)))
    return ", ".join(f"{topic} ({count})" for topic, count in sorted(counts.items()))
