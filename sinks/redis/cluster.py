"""Clients of a Redis Cluster with the interface of a client of one server, as far as facestream uses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, Self

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncNode
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.commands import CoreCommands
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.event import EventDispatcher
from redis.exceptions import AskError, MovedError, RedisClusterException, TryAgainError

Host = tuple[str, int]

_MOVED = (MovedError, AskError, TryAgainError)
"""Answers of a shard that has given a slot away, or is about to."""
_ATTEMPTS = 2


class Cluster:
    """A cluster, to which the first command connects. Commands raise only errors that are ``redis.RedisError``."""

    def __init__(self, hosts: Sequence[Host], **options: Any) -> None:
        """``hosts`` are some nodes, which are also asked when no node that is known answers."""
        self._hosts = list(hosts)
        self._options = options
        self._connecting = threading.Lock()
        self._connected: _Cluster | None = None

    def __getattr__(self, name: str) -> Any:
        """Any other command, as redis-py has it."""
        return getattr(self.connected(), name)

    def connected(self) -> RedisCluster:
        """The client of redis-py.

        Raises:
            redis.RedisError: no node answers.
        """
        with self._connecting:
            if self._connected is None:
                with as_redis_errors():
                    nodes = [ClusterNode(host, port) for host, port in self._hosts]  # type: ignore[no-untyped-call]
                    cluster = _Cluster(startup_nodes=nodes, **self._options)
                # All nodes may get new addresses: those that the settings name are asked when no known one answers.
                manager = cluster.nodes_manager
                manager.initialize = partial(  # type: ignore[method-assign]
                    manager.initialize, additional_startup_nodes_info=self._hosts
                )
                self._connected = cluster
            return self._connected

    def pipeline(self, transaction: bool = True) -> ShardedPipeline:
        """Commands that are sent together; see :class:`ShardedPipeline`."""
        return ShardedPipeline(self, transaction)

    def shard_tags(self) -> dict[str, str]:
        """For each shard, by the name of its primary, a hash tag whose keys it holds.

        It is the tag of the shard's first slot, so it stays the same when a replica takes over.
        """
        slots = self.connected().nodes_manager.slots_cache
        tags: dict[str, str] = {}
        before = None
        for slot in range(REDIS_CLUSTER_HASH_SLOTS):
            nodes = slots.get(slot)
            if nodes is not before and nodes:
                tags.setdefault(nodes[0].name, _tag_of(slot))
            before = nodes
        return tags

    def primary(self, name: str) -> redis.Redis:
        """A client of one shard, by the name of its primary.

        Raises:
            redis.RedisError: there is none of this name.
        """
        cluster = self.connected()
        node = cluster.nodes_manager.get_node(node_name=name)
        if node is None:
            raise redis.ConnectionError(f"{name} is in the cluster no more")
        return cluster.get_redis_connection(node)

    def close(self) -> None:
        """Close the connections."""
        with self._connecting:
            if self._connected is not None:
                self._connected.close()
                self._connected = None


class ShardedPipeline(CoreCommands):
    """Commands for several shards, of one key each. Those for one shard are sent together and done in their order.

    redis-py's own pipeline sends each command again by itself to a shard that does not answer, and waits for each.
    With ``transaction`` all keys must be in one slot.
    """

    _event_dispatcher = EventDispatcher()

    def __init__(self, cluster: Cluster, transaction: bool) -> None:
        """Nothing is sent before :meth:`execute`."""
        self._cluster = cluster
        self._transaction = transaction
        self._commands: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __enter__(self) -> Self:
        """As redis-py's pipelines."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Take a command."""
        self._commands.append((args, options))
        return self

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send the commands, and return their answers in the order of the commands.

        Without ``raise_on_error`` the error of a command is its answer. A shard that does not answer is asked twice.

        Raises:
            redis.RedisError: a shard does not answer, or a command failed.
        """
        commands, self._commands = self._commands, []
        cluster = self._cluster.connected()
        answers: dict[int, Any] = {}
        with as_redis_errors():
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._send(cluster, commands, answers)
                    break
                except (redis.ConnectionError, redis.TimeoutError, *_MOVED):
                    cluster.nodes_manager.initialize()
                    if attempt == _ATTEMPTS:
                        raise
        found = [answers[number] for number in range(len(commands))]
        if raise_on_error and (failed := next((one for one in found if isinstance(one, Exception)), None)):
            raise failed
        return found

    def _send(self, cluster: RedisCluster, commands: Sequence[Any], answers: dict[int, Any]) -> None:
        """Send the commands that have no answer yet."""
        nodes: dict[str, ClusterNode] = {}
        by_node: dict[str, list[int]] = {}
        for number, (args, _) in enumerate(commands):
            if number not in answers:
                node = _node_of(cluster, args)
                nodes[node.name] = node
                by_node.setdefault(node.name, []).append(number)
        for name, numbers in by_node.items():
            pipeline = cluster.get_redis_connection(nodes[name]).pipeline(transaction=self._transaction)
            for number in numbers:
                args, options = commands[number]
                pipeline.execute_command(*args, **options)  # type: ignore[no-untyped-call]
            answers.update(zip(numbers, pipeline.execute(raise_on_error=False), strict=True))
        # A transaction whose slot has moved raises that; nothing of it was done.
        moved = [number for number in answers if isinstance(answers[number], _MOVED)]
        for number in sorted(moved):
            args, options = commands[number]
            try:
                answers[number] = cluster.execute_command(*args, **options)  # type: ignore[no-untyped-call]
            except redis.ResponseError as error:
                answers[number] = error


class _Cluster(RedisCluster):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        with as_redis_errors():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class AsyncCluster(redis.asyncio.RedisCluster):
    """A cluster for asyncio, to which the first command connects. Its errors are ``redis.RedisError``."""

    def __init__(self, hosts: Sequence[Host], **options: Any) -> None:
        """``hosts`` as of :class:`Cluster`."""
        nodes = [AsyncNode(host, port) for host, port in hosts]
        retry = AsyncRetry(ExponentialBackoff(cap=0.2, base=0.05), 1)
        super().__init__(startup_nodes=nodes, retry=retry, **options)
        self._named = dict(self.nodes_manager.startup_nodes)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command to the node that has its key."""
        with as_redis_errors():
            try:
                return await super().execute_command(*args, **options)
            except RedisClusterException:
                # All nodes may have new addresses: the next command asks those that the settings name too.
                self.nodes_manager.startup_nodes.update(self._named)
                raise


@contextmanager
def as_redis_errors() -> Iterator[None]:
    """Raise redis-py's errors about clusters as the error of a server that caused them, or as one of the connection."""
    try:
        yield
    except RedisClusterException as error:
        cause: BaseException | None = error
        found: redis.RedisError | None = None
        while cause is not None:
            found = cause if isinstance(cause, redis.RedisError) else found
            cause = cause.__cause__ or cause.__context__
        raise found or redis.ConnectionError(str(error)) from None


def _node_of(cluster: RedisCluster, command: Sequence[Any]) -> ClusterNode:
    """The primary that holds the key of a command, or the first key of a script."""
    key = command[3] if command[0] in ("EVAL", "EVALSHA") else command[1]
    slot = cluster.keyslot(key)  # type: ignore[no-untyped-call]
    return cluster.nodes_manager.get_node_from_slot(slot)


@cache
def _tag_of(slot: int) -> str:
    """A text whose keys, as hash tag, are in a slot."""
    number = 0
    while key_slot(str(number).encode()) != slot:
        number += 1
    return str(number)
