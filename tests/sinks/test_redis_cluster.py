"""A Redis Cluster: all that is done with one server is done there, and what a shard loses is written again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infra.supervisor import Supervisor
from sinks.base import Delivery, Position, SinkFenced, SinkUnavailable
from sinks.redis import RedisAddress, RedisResults, RedisSink, ResultsUnavailable
from sinks.redis.live import LiveStreams
from streams.settings import Settings
from tests.sinks.examples import delivery, match
from tests.sinks.redis_cluster import RealCluster, start_cluster
from tests.sinks.tls import forwarder
from tests.sinks.whole_path import USERS, walk
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    with Supervisor() as supervisor:
        yield start_cluster(supervisor, tmp_path_factory.mktemp("cluster"))


@pytest.fixture
def settings(cluster: RealCluster) -> Settings:
    cluster.clear()
    return Settings(redis_url=cluster.url, redis_cluster=True)


def test_all_is_done_on_a_cluster(settings: Settings, cluster: RealCluster) -> None:
    walk(settings)
    assert all(int(node.ask("DBSIZE")) > 0 for node in cluster.primaries), "every shard has something"


class Topic:
    """What a partition holds, and a sink that follows it as its worker does."""

    def __init__(self, sink: RedisSink) -> None:
        self.log: list[Delivery[Any]] = []
        self.read_again: list[int] = []
        self._sink = sink
        self._committed = 0

    def append(self, per_user: int) -> None:
        for _ in range(per_user):
            self.log += [delivery(match(user_id=user), len(self.log) + n) for n, user in enumerate(USERS)]

    def assign(self) -> None:
        partition = self.log[0].partition
        found = self._sink.assign([Position(partition, self._committed, self._sink.note(partition))])
        if partition in found:
            self._committed = found[partition].offset
            self.read_again.append(self._committed)

    def follow(self) -> bool:
        """Write what is not committed; whether all is."""
        try:
            self._sink.check()
            if self.log[self._committed :]:
                self._sink.write(self.log[self._committed :])
        except SinkFenced:
            wait_until(self._assigned)
            return False
        except SinkUnavailable:
            return False
        self._committed = len(self.log)
        return True

    def _assigned(self) -> bool:
        try:
            self.assign()
        except SinkUnavailable:
            return False
        return True


def test_slots_that_move_take_their_keys_to_the_right_shard(settings: Settings, cluster: RealCluster) -> None:
    address = RedisAddress.of(settings)
    with closing(RedisSink(address)) as sink, closing(RedisResults(address)) as results:
        topic = Topic(sink)
        topic.append(1)
        topic.assign()
        assert topic.follow()
        cluster.clear()  # a slot is given away without its keys
        for user in USERS:
            cluster.give_away(f"facestream:live:{{{user}}}")
        topic.append(1)
        wait_until(topic.follow)
        assert topic.read_again[0] == 0, "what was cleared is noticed"
        for user in USERS:
            assert len(results.recent(None, [user])) == 2
    with closing(RedisSink(address)) as another:
        assert not another.assign([Position(topic.log[0].partition, 12, "12")]), "it finds the same marks"


def test_a_cluster_whose_nodes_all_get_new_addresses_is_found_again(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        before = start_cluster(supervisor, tmp_path / "before", size=1)
        with forwarder(before.primaries[0].port) as front:
            address = RedisAddress(f"redis://127.0.0.1:{front.port}", cluster=True)
            live = LiveStreams(address)

            async def ask() -> str:
                return await live.last_id("ursula")

            with asyncio.Runner() as runner, closing(RedisResults(address)) as results:
                assert results.latest("ursula", "door") is None
                assert runner.run(ask()) == "0"
                before.primaries[0].signal(signal.SIGKILL)
                after = start_cluster(supervisor, tmp_path / "after", size=1)
                front.leads_to = after.primaries[0].port
                one = match()
                with closing(RedisSink(RedisAddress(after.url, cluster=True))) as sink:
                    sink.write([delivery(one)])
                wait_until(lambda: answered(lambda: results.latest("ursula", "door")))
                wait_until(lambda: answered(lambda: runner.run(ask())) not in (None, "0"))
                runner.run(live.close())


def answered(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except ResultsUnavailable:
        return None


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    with Supervisor() as supervisor:
        yield start_cluster(supervisor, tmp_path_factory.mktemp("replicated"), size=2, replicas=True)


def test_a_frozen_shard_holds_up_a_batch_for_seconds_only(replicated: RealCluster) -> None:
    address = RedisAddress(replicated.url, cluster=True)
    with closing(RedisSink(address, answer_timeout_s=0.5)) as sink:
        topic = Topic(sink)
        topic.append(50)
        topic.assign()
        replicated.primaries[0].signal(signal.SIGSTOP)
        with pytest.raises(SinkUnavailable, match="no Redis answers"):
            sink.write(topic.log)  # asked for each event by itself, it would take minutes
        replicated.primaries[0].signal(signal.SIGCONT)
        wait_until(topic.follow)
        replicated.clear()


def test_an_erasure_waits_for_the_replicas(replicated: RealCluster) -> None:
    with closing(RedisSink(RedisAddress(replicated.url, cluster=True))) as sink:
        sink.write([delivery(match(user_id="erased"))])
        for replica in replicated.replicas:
            replica.signal(signal.SIGSTOP)
        with pytest.raises(SinkUnavailable, match="1 of 1 replicas do not confirm"):
            sink.erase("erased", None)
        for replica in replicated.replicas:
            replica.signal(signal.SIGCONT)
        assert sink.erase("erased", None)["answers"] == 0, "it was erased on the primary"


def test_what_a_replica_did_not_have_when_it_took_over_is_written_again(replicated: RealCluster) -> None:
    address = RedisAddress(replicated.url, cluster=True)
    with closing(RedisSink(address)) as sink, closing(RedisResults(address)) as results:
        topic = Topic(sink)
        topic.append(10)
        topic.assign()
        assert topic.follow()
        kept = len(topic.log)
        wait_until(lambda: all(replicated.has_replicated(shard) for shard in (0, 1)))
        replicated.replicas[0].signal(signal.SIGSTOP)
        replicated.primaries[0].ask("CLIENT", "KILL", "TYPE", "replica")
        topic.append(10)
        assert topic.follow(), "the primary has taken it"
        replicated.fail_over_frozen(0)
        wait_until(topic.follow)
        assert topic.read_again == [kept], "from where the replica was, and not from the beginning"
        topic.append(1)
        wait_until(topic.follow)
        events = [one.event for one in topic.log]
        assert len(results.answers([one.event_id for one in events])) == len(events)
        for user in USERS:
            shown = [entry.event["event_id"] for entry in results.recent(None, [user])]
            assert sorted(shown) == sorted(one.event_id for one in events if one.user_id == user), "each once"
