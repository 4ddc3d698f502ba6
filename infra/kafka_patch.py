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
from pathlib import Path
from zipfile import ZipFile

from infra.jars import VERSION

CLASS = "org/apache/kafka/storage/internals/log/LogLoader.class"
_ORIGINAL = "f1d47d5f6ec6f0e4862ac8705a11f1887ec04c942e6b6cdac8689b40ba39132a"
_MENDED = "fc949a7a9ddb01e795bb29731a3a2b7bc7e67683d970a19e984a468347d0c283"


class UnknownClass(Exception):
    """Kafka's class is not the one that the patch was made for."""


def write_classes(jars: Path, into: Path) -> Path:
    """Write the patched class below the folder ``into``, which goes on the class path; return that folder.

    Raises:
        UnknownClass: Kafka has been updated; check whether it still needs the patch.
    """
    path = into / CLASS
    if not path.exists() or _digest(path.read_bytes()) != _MENDED:
        with ZipFile(jars / f"kafka-storage-{VERSION}.jar") as jar:
            mended = mend(jar.read(CLASS))
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(mended)
        partial.replace(path)
    return into


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
