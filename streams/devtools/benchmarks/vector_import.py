"""Imports vectors into a running stack, and times the import and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from streams.devtools.benchmarks.rows import Figures
from streams.devtools.local_stack import Stack
from streams.model_registry.records import base_card
from streams.operations.gallery_export import export_gallery
from streams.operations.gallery_import import GalleryImport
from streams.operations.vector_files.opening import open_vectors
from streams.roles import Role
from streams.settings import Settings

_PATIENCE_S = 60.0


def measure(folder: Path, templates: int, users: int, say: Callable[[str], None]) -> Iterator[Figures]:
    """Import random vectors, each of a subject of its own, with one match worker; then once more, and export them.

    Yields:
        ``templates``; ``check_s`` until the file is checked and planned; ``templates_per_s`` from the first message to
        the last outcome; ``match_us`` and ``importer_us``, the processor time of each for a template; ``again_s`` of
        the whole import if everything is there; ``export_s``. ``lost`` are templates that are not in the gallery.
    """
    yield {"templates": templates, "users": users}
    with Stack(folder / "stack", say) as stack:
        stack.add_workers(roles=[Role.MATCH])
        settings, path = stack.settings, folder / "vectors.npz"
        _save(path, settings, templates, users)
        say("importing")
        began = time.monotonic()
        work = GalleryImport(settings, open_vectors(settings, path))
        work.plan()
        yield {"check_s": round(time.monotonic() - began, 2)}
        [match] = [psutil.Process(pid) for name, pid in stack.services.supervisor.running().items() if "match" in name]
        before, began = [_cpu_s(one) for one in (match, psutil.Process())], time.monotonic()
        result = work.run(_PATIENCE_S)
        took_s = time.monotonic() - began
        match_s, importer_s = (_cpu_s(one) - then for one, then in zip((match, psutil.Process()), before, strict=True))
        yield {
            "templates_per_s": round(result.enrolled / took_s),
            "match_us": round(1e6 * match_s / templates),
            "importer_us": round(1e6 * importer_s / templates),
            "lost": templates - result.enrolled,
        }
        began = time.monotonic()
        again = GalleryImport(settings, open_vectors(settings, path))
        again.plan()
        again.run(_PATIENCE_S)
        yield {"again_s": round(time.monotonic() - began, 2)}
        began = time.monotonic()
        _, _, counts = export_gallery(settings, folder / "back.npz")
        yield {"export_s": round(time.monotonic() - began, 2), "lost": templates - counts.templates}


def _save(path: Path, settings: Settings, templates: int, users: int) -> None:
    card, random = base_card(settings), np.random.default_rng(0)
    vectors = random.standard_normal((templates, card.output.dimensions), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.savez(
        path,
        user_id=np.array([f"user-{number * users // templates}" for number in range(templates)]),
        subject_id=np.array([f"subject-{number}" for number in range(templates)]),
        vector=vectors,
        consent_purpose=np.full(templates, "benchmark"),
        consent_granted_at=np.full(
            templates, np.datetime64(datetime(2025, 1, 1, tzinfo=UTC).replace(tzinfo=None), "us")
        ),
        model_version=np.array(card.version),
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
