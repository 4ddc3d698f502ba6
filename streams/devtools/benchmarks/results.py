"""Figures of benchmarks that are kept in the clone, as ``tests/benchmarks/results/<bench>-<time>.json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.clock import utc_now
from schemas.errors import FacestreamError

_CLONE = Path(__file__).parents[3]
FOLDER = _CLONE / "tests" / "benchmarks" / "results"
PAGE = _CLONE / "docs" / "benchmarks.md"
_NOT_OF_THE_FIGURES = {"--json", "--save"}


class ResultsAway(FacestreamError):
    """There is no place for results, or one cannot be read."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The result of a bench: when it was measured, by which command line, and the figures."""

    bench: str
    measured_at: datetime
    command: str
    figures: dict[str, Any]


def check() -> None:
    """Make sure that results can be kept.

    Raises:
        ResultsAway: facestream is installed, this is no clone.
    """
    if not (_CLONE / "pyproject.toml").exists():
        raise ResultsAway("--save keeps figures in a clone of facestream, and this is an installed package")


def keep(bench: str, figures: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Write a file with the figures and the command that measured them; return its path."""
    now = utc_now()
    words = [one for one in sys.argv[1:] if one not in _NOT_OF_THE_FIGURES]
    document = {
        "bench": bench,
        "measured_at": now.isoformat(timespec="seconds"),
        "command": " ".join(["facestream", *words]),
        "figures": figures,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{bench}-{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def kept(folder: Path = FOLDER) -> Iterator[Kept]:
    """All results, the oldest first.

    Raises:
        ResultsAway: a file is no result.
    """
    found = []
    for path in folder.glob("*.json"):
        try:
            one = json.loads(path.read_text("utf-8"))
            at = datetime.fromisoformat(one["measured_at"])
            found.append(Kept(one["bench"], at, one["command"], dict(one["figures"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsAway(f"{path} is no result of a bench: {error!r}") from error
    yield from sorted(found, key=lambda one: one.measured_at)
