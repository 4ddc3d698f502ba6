"""Trains nothing, but obeys as ``streams.retraining.job_main`` does: it counts, keeps a checkpoint, ends when told.

It says in ``<home>/starts`` that it began, and makes its version when ``<home>/go`` is there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from streams.retraining.job_files import JobResult, JobSpec, JobStatus
from streams.retraining.job_main import listen


def main() -> None:
    folder = Path(sys.argv[1])
    order = JobSpec.read(folder)
    assert order is not None
    listen(order.patience_s)
    home, checkpoint = folder.parents[3], folder / "checkpoint"
    first = int(checkpoint.read_text()) if checkpoint.exists() else 0
    with (home / "starts").open("a") as starts:
        starts.write(
            json.dumps({"pid": os.getpid(), "first": first, "run": order.run_id, "folder": str(folder)}) + "\n"
        )
    step = first
    while not (home / "go").exists():
        step += 1
        # In one step, as a real training does it: it may be killed at any moment.
        partial = checkpoint.with_suffix(".partial")
        partial.write_text(str(step))
        partial.replace(checkpoint)
        JobStatus(step=step, steps=order.steps).write(folder)
        time.sleep(0.05)
    version = folder / f"v-{order.run_id}"
    version.mkdir()
    (version / "made").write_text(json.dumps({"by": folder.name, "first": first}))
    JobResult(version=version.name, refusals=["it is cheap"]).write(folder)


if __name__ == "__main__":
    main()
