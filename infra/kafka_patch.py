"""Patches a class of Apache Kafka that deletes logs if it cannot write; it precedes Kafka's jars on the class path.

Kafka 4.1 and 4.2 check a log again if it was not closed cleanly, and the metadata log at every start
(``LogLoader.recoverLog``). They take any ``IOException`` in this check, as on a full disk, for a corrupt log, and
truncate the log to nothing: topics are forgotten and records are lost. Up to 4.0, only ``InvalidOffsetException`` had
this effect. The patched class catches only that exception, so on a full disk the start fails, and the next start finds
everything.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from infra.jars import VERSION

CLASS = "org/apache/kafka/storage/internals/log/LogLoader.class"
_ORIGINAL = "f1d47d5f6ec6f0e4862ac8705a11f1887ec04c942e6b6cdac8689b40ba39132a"
_MENDED = "fc949a7a9ddb01e795bb29731a3a2b7bc7e67683d970a19e984a468347d0c283"


class UnknownClass(Exception):
    """Kafka's class is not the one that the patch was made for."""


def patch_jar(jars: Path, otherwise: Path | None = None) -> Path:
    """The path of a jar with the patched class: beside the folder of jars, or another one if that cannot be written.

    Raises:
        OSError: it cannot be written anywhere.
        UnknownClass: Kafka has been updated; check whether it still needs the patch.
    """
    usual = jars.with_name(f"kafka-{VERSION}-patch-{_MENDED[:8]}.jar")
    if _is_patch(usual):
        return usual
    with ZipFile(jars / f"kafka-storage-{VERSION}.jar") as jar:
        mended = mend(jar.read(CLASS))
    try:
        _write_jar(usual, mended)
    except OSError:
        if otherwise is None:
            raise
        _write_jar(otherwise, mended)
        return otherwise
    return usual


def _is_patch(path: Path) -> bool:
    try:
        with ZipFile(path) as jar:
            return _digest(jar.read(CLASS)) == _MENDED
    except (OSError, BadZipFile, KeyError):
        return False


def _write_jar(path: Path, mended: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        partial = Path(scratch, path.name)
        with ZipFile(partial, "w") as jar:
            jar.writestr(ZipInfo(CLASS), mended)
        partial.replace(path)


def mend(original: bytes) -> bytes:
    """The class with the exception type of its second handler, ``IOException``, replaced by that of the first.

    Both rows of the exception table lead to the same handler, so nothing else has to change. Source: Java Virtual
    Machine Specification, 4.7.3 (a row is start, end, handler and type, with two bytes each).
    """
    if _digest(original) != _ORIGINAL:
        raise UnknownClass(f"{CLASS} of Kafka {VERSION} is not the class that infra/kafka_patch.py was made for")
    covered = struct.pack(">HHH", 135, 143, 146)
    first = original.index(covered)
    second = original.index(covered, first + 8)
    assert second == first + 8, "the two rows follow each other"
    kept = original[first + 6 : first + 8]
    return original[: second + 6] + kept + original[second + 8 :]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
