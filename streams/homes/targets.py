"""The file from which Prometheus learns where the workers of a home serve their metrics (``file_sd_configs``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streams.homes.files import write_json

TARGETS_FILE = "prometheus-targets.json"
"""In the home folder; with no targets while nothing runs there."""


def write(home: Path, workers: Mapping[str, str]) -> None:
    """Name the workers and the gateway, each by its name and by the host and port of its metrics.

    The label is ``worker``, since ``role`` is a label of the metrics themselves.
    """
    targets = [{"targets": [address], "labels": {"worker": name}} for name, address in workers.items()]
    write_json(home / TARGETS_FILE, targets)


def clear(home: Path) -> None:
    """Name no worker, because none runs; do nothing where there is no file."""
    if (home / TARGETS_FILE).exists():
        write(home, {})
