"""One process of a run: ``python -m models.training.worker RUN OLD_VERSION NUMBER WORKERS THREADS``.

``TF_CONFIG`` names the other processes. With 0 threads, this one uses every core. Otherwise it also pins itself to that
number of cores (on Linux), so that the threads that prepare the data take no more either.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.embedder import runtime
from models.embedder.card import Card
from models.training.plan import Run


def main(argv: list[str]) -> None:
    """Train, and write the result file."""
    run, old_folder, worker, workers, threads = Run(Path(argv[0])), Path(argv[1]), *map(int, argv[2:5])
    card = Card.read(old_folder)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    if threads:
        _stay_on_cores(worker, threads)
    tf = runtime.tensorflow(threads or None)
    from models.training import loop

    outcome = loop.train(run, card, _strategy(tf, workers), worker=worker, workers=workers)
    run.result(worker).write_text(json.dumps(asdict(outcome)), "utf-8")
    # The strategy's servers cannot be stopped otherwise; all workers have finished the last step together.
    sys.stdout.flush()
    os._exit(0)


def _strategy(tf: Any, workers: int) -> Any:
    """A strategy with a replica on every GPU, or if there is none, on every CPU device; there is usually one."""
    if workers > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _stay_on_cores(worker: int, threads: int) -> None:
    if sys.platform != "linux":
        return
    mine = sorted(os.sched_getaffinity(0))
    first = worker * threads % len(mine)
    os.sched_setaffinity(0, set((mine * 2)[first : first + threads]))


if __name__ == "__main__":
    main(sys.argv[1:])
