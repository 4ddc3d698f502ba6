"""Writes the small files of a home folder, so that whoever reads one meanwhile has all of it."""

from __future__ import annotations

import json
from pathlib import Path


def write_json(path: Path, content: object) -> None:
    """Write ``content`` in one step; the folder is made if it is not there.

    Raises:
        OSError: it cannot be written; an older file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    partial.replace(path)
