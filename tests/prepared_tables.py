"""Gives stacks a BigQuery server that has the tables and views: they are copied sooner than made."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

from filelock import FileLock

from infra import bigquery
from infra.ports import free_ports
from infra.supervisor import Supervisor
from sinks.bigquery import Address, apply
from streams.settings import Settings


def with_tables(folder: Path) -> Path:
    """Put the data of a server with the tables and views of this release into the folder of a stack; return the folder.

    The stack looks at all of them when it starts, and makes what it does not find.
    """
    shutil.copytree(_prepared(), folder / "bigquery" / "data")
    return folder


@cache
def _prepared() -> Path:
    """The data of such a server, made once for all processes of a run."""
    run = Path(os.environ["XDG_STATE_HOME"])  # see tests/conftest.py
    data = run / "bigquery" / "data"
    with FileLock(run / "bigquery.lock"):
        if not data.exists():
            _make(run / "bigquery.partial")
            (run / "bigquery.partial").rename(data.parent)
    return data


def _make(folder: Path) -> None:
    with Supervisor() as supervisor:
        rest, grpc = bigquery.start(supervisor, folder, *free_ports(2))
        tables = Address(bigquery.PROJECT, Settings.model_fields["bigquery_dataset"].default, rest, grpc)
        apply(tables.rest_client(), tables.dataset_id)
