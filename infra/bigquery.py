"""Starts a BigQuery-compatible server: ``local-bigquery``, in a Python environment of its own.

It needs Python 3.13 and versions of protobuf and NumPy that TensorFlow does not support, hence ``.venv-bigquery``.
"""

from __future__ import annotations

import os
from pathlib import Path

import requests

from infra.ports import LOOPBACK, is_open
from infra.supervisor import Backoff, ChildFailed, Supervisor

PROJECT = "facestream"
ENVIRONMENT = Path(os.environ.get("FACESTREAM_BIGQUERY_VENV") or Path(__file__).parents[1] / ".venv-bigquery")


def start(supervisor: Supervisor, folder: Path, rest: int, grpc: int) -> tuple[str, str]:
    """Start the server with its data in a folder, and wait until it serves; return the REST and the gRPC address.

    Raises:
        ChildFailed: it did not start, or its environment is not installed.
    """
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise ChildFailed(f"the environment of the BigQuery server is not at {ENVIRONMENT}: `make setup` makes it")
    folder.mkdir(parents=True, exist_ok=True)
    address = f"http://{LOOPBACK}:{rest}"
    supervisor.start(
        "bigquery",
        [str(python), "-P", str(Path(__file__).with_name("bigquery_server.py"))],
        log=folder / "bigquery.log",
        # DuckDB looks for its extensions under HOME, where set-up has put them.
        env={
            "HOME": str(ENVIRONMENT),
            "BIGQUERY_HOST": LOOPBACK,
            "BIGQUERY_PORT": str(rest),
            "GRPC_PORT": str(grpc),
            # Relative to the working directory, because the catalogue stores it and the folder may be moved.
            "DATA_DIR": "data",
            "DEFAULT_PROJECT_ID": PROJECT,
        },
        cwd=folder,
        ready=lambda: answers(address) and is_open(grpc),
        timeout_s=90,
        # Its database sometimes ends with a segmentation fault; it keeps what it had accepted.
        restart=Backoff(),
        # Analysts can wait for a moment; an application that opens a door cannot.
        background=True,
        # A database that cannot write its checkpoint accepts nothing more until it is restarted.
        fills_disk=True,
    )
    return address, f"{LOOPBACK}:{grpc}"


def answers(address: str) -> bool:
    """Whether a server answers the REST call that lists datasets."""
    return requests.get(f"{address}/bigquery/v2/projects/{PROJECT}/datasets", timeout=1).ok
