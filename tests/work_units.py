"""What one process of a run of several does in one piece, and what is begun first.

Tests that share a stack, or a network that takes long to load, stay together, so that it is started once. The pieces
that take longest are begun first, and those that start nothing come last, so that no process is left alone at the end.
Among the first, a piece that keeps a core busy (models, whole stacks) goes with two that mostly wait: three busy ones
would take time from each other, and leave the cores idle later.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

from xdist.scheduler.loadfile import LoadFileScheduling

FIRST: Sequence[str] = (
    "tests/models/training/*.py",
    "tests/streams/engine/test_stage.py",
    "tests/streams/engine/test_topic_created_again.py",
    "tests/streams/rollout/test_rollouts.py",
    "tests/models/*.py",
    "tests/streams/replay/*.py",
    "tests/streams/operations/doctor/test_doctor.py",
    "tests/integration/test_up.py",
    "tests/integration/*.py",
    "tests/faults/*.py",
    "tests/infra/test_services.py",
    "tests/streams/operations/doctor/test_bigquery.py",
    "tests/streams/operations/doctor/test_workers.py",
    "tests/streams/gateway/*.py",
    "tests/streams/retraining/test_workers.py",
    "tests/sinks/test_bigquery*.py",
)
"""Patterns of files, of which the first that fits counts. Files that fit one are one piece; any other is its own."""


def place(path: str) -> int:
    """The place of a file in the order of the pieces, by its path in the project."""
    return next((at for at, pattern in enumerate(FIRST) if fnmatch(path, pattern)), len(FIRST))


class WorkUnits(LoadFileScheduling):
    """Gives each process the next piece when it has nearly done what it has."""

    def _split_scope(self, nodeid: str) -> Any:
        path = super()._split_scope(nodeid)
        at = place(path)
        return FIRST[at] if at < len(FIRST) else path
