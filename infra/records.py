"""Writes the small files that the supervisor keeps about its children, for others to read."""

from __future__ import annotations

import json
from pathlib import Path


def write_record(path: Path, content: object) -> None:
    """Write ``content`` as JSON, in one step: whoever reads meanwhile has the old file or the new one, never a part.

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content), "utf-8")
    partial.replace(path)
