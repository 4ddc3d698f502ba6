"""Real servers that a test may kill, freeze and start again, which the shared ones of the whole run do not allow."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from infra import bigquery, redis
from infra.ports import free_ports
from infra.supervisor import Supervisor
from sinks.bigquery import Address, apply


@dataclass(frozen=True)
class Server:
    """A child of a supervisor, on ports and with data that outlast it."""

    supervisor: Supervisor
    name: str
    folder: Path

    def kill(self) -> None:
        self.supervisor.kill(self.name)

    def start(self) -> None:
        self.supervisor.restart(self.name)

    def start_empty(self) -> None:
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self.start()

    def freeze(self) -> None:
        os.kill(self.supervisor.running()[self.name], signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.supervisor.running()[self.name], signal.SIGCONT)


@dataclass(frozen=True)
class Redis(Server):
    url: str


@dataclass(frozen=True)
class BigQuery(Server):
    rest: str
    grpc: str


def apply_tables(address: Address) -> None:
    """Create the tables without the views, for which a server takes three times as long."""
    with mock.patch.multiple(sys.modules[apply.__module__], views=list, functions=list):
        apply(address.rest_client(), address.dataset_id)


def start_redis(supervisor: Supervisor, folder: Path) -> Redis:
    url = redis.start(supervisor, folder, *free_ports(1))
    return Redis(supervisor, "redis", folder, url)


def start_bigquery(supervisor: Supervisor, folder: Path) -> BigQuery:
    rest, grpc = bigquery.start(supervisor, folder, *free_ports(2))
    return BigQuery(supervisor, "bigquery", folder, rest, grpc)
