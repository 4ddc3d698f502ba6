"""A real Redis Cluster on this machine, whose nodes a test may kill, freeze and replace."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from infra import redis as valkey
from infra.ports import free_ports
from infra.supervisor import Supervisor
from tests.waiting import wait_until

SLOTS = 16_384
_TIMEOUT_MS = 600_000
"""No test waits for the cluster to notice that a node is away, and a slow machine must not make it do so."""


@dataclass(frozen=True)
class Node:
    """A node of a cluster."""

    supervisor: Supervisor
    name: str
    port: int
    bus_port: int

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def ask(self, *command: object) -> str:
        """The answer to a command of an operator, as text."""
        with redis.Redis.from_url(self.url, decode_responses=True) as client:
            return str(client.execute_command(*command))  # type: ignore[no-untyped-call]

    def id(self) -> str:
        return self.ask("CLUSTER MYID")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.supervisor.running()[self.name], number)


@dataclass(frozen=True)
class RealCluster:
    """Primaries with equal shares of the slots, and a replica of each if wanted."""

    primaries: Sequence[Node]
    replicas: Sequence[Node]

    @property
    def url(self) -> str:
        """The address of two of its nodes: the others are found."""
        hosts = [f"127.0.0.1:{node.port}" for node in (*self.primaries, *self.replicas)]
        return f"redis://{','.join(hosts[:2])}/0"

    def fail_over_frozen(self, shard: int) -> None:
        """Kill a primary, and let its replica, which was stopped, take over with what it has."""
        self.primaries[shard].signal(signal.SIGKILL)
        self.replicas[shard].signal(signal.SIGCONT)
        self.replicas[shard].ask("CLUSTER", "FAILOVER", "TAKEOVER")

    def give_away(self, key: str) -> None:
        """Move the slot of a key, which must be empty, to the next primary."""
        slot = int(self.primaries[0].ask("CLUSTER", "KEYSLOT", key))
        size = len(self.primaries)
        new = self.primaries[(slot * size // SLOTS + 1) % size]
        for node in (new, *(one for one in self.primaries if one is not new)):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", new.id())

    def has_replicated(self, shard: int) -> bool:
        """Whether the replica of a shard has all that its primary has."""
        offsets = []
        for node, name in ((self.primaries[shard], "master_repl_offset"), (self.replicas[shard], "slave_repl_offset")):
            with redis.Redis.from_url(node.url) as client:
                offsets.append(client.info("replication")[name])
        return offsets[0] == offsets[1]

    def clear(self) -> None:
        for node in self.primaries:
            node.ask("FLUSHALL")


def start_cluster(
    supervisor: Supervisor, folder: Path, size: int = 3, replicas: bool = False, timeout_ms: int = _TIMEOUT_MS
) -> RealCluster:
    count = 2 * size if replicas else size
    ports = free_ports(2 * count)
    nodes = [
        Node(supervisor, f"{folder.name}-{number}", *pair)
        for number, pair in enumerate(zip(ports[:count], ports[count:], strict=True))
    ]
    for node in nodes:
        _start(node, folder / node.name, timeout_ms)
    primaries, others = nodes[:size], nodes[size:]
    for number, node in enumerate(primaries):
        first, last = number * SLOTS // size, (number + 1) * SLOTS // size - 1
        node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
    for number, node in enumerate(nodes):
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for other in nodes[:number]:  # each by itself: their gossip would take seconds
            node.ask("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus_port)
    wait_until(lambda: all(_knows(node, count) for node in nodes), what="the nodes know each other")
    for primary, replica in zip(primaries, others, strict=False):
        replica.ask("CLUSTER", "REPLICATE", primary.id())
    wait_until(lambda: all(map(_follows, others)), what="the replicas follow")
    return RealCluster(primaries, others)


def _start(node: Node, folder: Path, timeout_ms: int) -> None:
    folder.mkdir(parents=True)
    options = {
        **{"bind": "127.0.0.1", "port": node.port, "dir": folder, "save": "", "appendonly": "yes"},
        **{"cluster-enabled": "yes", "cluster-port": node.bus_port, "cluster-node-timeout": timeout_ms},
        **{"repl-diskless-sync-delay": 0, "cluster-replica-validity-factor": 0},
    }
    argv = [str(valkey.server()), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    node.supervisor.start(node.name, argv, log=folder / "log", cwd=folder, ready=lambda: valkey.answers(node.url))


def _knows(node: Node, count: int) -> bool:
    with redis.Redis.from_url(node.url, decode_responses=True) as client:
        info = client.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
        return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == count


def _follows(replica: Node) -> bool:
    with redis.Redis.from_url(replica.url) as client:
        return bool(client.info("replication").get("master_link_status") == "up")
