"""A Redis that answers and cannot be used is found, and each remedy lets the sink go on with nothing lost."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from infra import redis as valkey
from infra.ports import free_ports
from sinks.base import Delivery, Position, SinkUnavailable
from sinks.redis import RedisAddress, RedisResults, RedisSink
from streams.operations.doctor.finding import Finding, Status
from streams.operations.doctor.redis import check
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings
from tests.sinks.examples import delivery, match
from tests.sinks.tls import Certificates, terminator
from tests.streams.operations.doctor.ledger import heals, look
from tests.waiting import wait_until

Start = Callable[..., str]


@contextmanager
def server(folder: Path, *options: str) -> Iterator[str]:
    """A server that a test may fill, freeze and misconfigure; its URL."""
    folder.mkdir()
    [port] = free_ports(1)
    argv = [str(valkey.server()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        wait_until(lambda: _answers(url))
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return valkey.answers(url)
    except redis.ResponseError:
        return True
    except redis.RedisError:
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as running:

        def begin(name: str, *options: str) -> str:
            return running.enter_context(server(tmp_path / name, "--save", "", *options))

        yield begin


def settings(url: str) -> Settings:
    return Settings(redis_url=url)


def found(url: str) -> Finding:
    return look(check(settings(url)))["redis"]


def lost(url: str, one: Delivery) -> bool:
    """Write what the sink was to write; whether its answer is missing then."""
    sink = RedisSink(url)
    sink.assign([Position(one.partition, one.offset, "")])
    sink.write([one])
    sink.close()
    return not RedisResults(url).answers([one.event.event_id])  # type: ignore[union-attr]


def refuses(url: str, one: Delivery, words: str) -> None:
    """The sink waits, and says why."""
    sink = RedisSink(url)
    with pytest.raises(SinkUnavailable, match=words):
        sink.assign([Position(one.partition, one.offset, "")])
        sink.write([one])
    sink.close()


@heals(Remedy.REDIS_FULL)
def test_a_full_redis(start: Start) -> None:
    url, one = start("full"), delivery(match())
    with redis.Redis.from_url(url) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        said = found(url)
        assert said.status is Status.FAIL
        assert said.observed.startswith("full (used ")
        assert said.observed.endswith(", noeviction)")
        refuses(url, one, "Redis is full")
        client.config_set("maxmemory", "1gb")
    assert found(url).status is Status.OK
    assert not lost(url, one)


@heals(Remedy.REDIS_NEARLY_FULL)
def test_a_redis_that_is_nearly_full(start: Start) -> None:
    url = start("nearly")
    with redis.Redis.from_url(url) as client:
        for number in range(30):  # at once, they would take as much again while they come
            client.set(f"data-{number}", bytes(1_000_000))
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.07))
        assert look(check(settings(url)))["redis memory"].status is Status.WARN
        client.config_set("maxmemory", "1gb")
    assert "redis memory" not in look(check(settings(url)))


@heals(Remedy.REDIS_EVICTS)
def test_a_redis_that_throws_results_away(start: Start) -> None:
    url = start("evicts", "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru")
    assert look(check(settings(url)))["redis memory"].status is Status.WARN
    with redis.Redis.from_url(url) as client:
        client.config_set("maxmemory-policy", "noeviction")
    assert "redis memory" not in look(check(settings(url)))


@heals(Remedy.REDIS_PRIMARY)
def test_a_read_only_replica(start: Start) -> None:
    primary, one = start("primary"), delivery(match())
    host, port = "127.0.0.1", primary.split(":")[2].split("/")[0]
    replica = start("replica", "--replicaof", host, port)
    said = found(replica)
    assert (said.status, said.observed) == (Status.FAIL, f"a read-only replica, of {host}:{port}")
    assert f"{host}:{port}" in (said.remedy or "")
    refuses(replica, one, "read-only replica")
    assert found(primary).status is Status.OK
    assert not lost(primary, one)


@heals(Remedy.REDIS_CLUSTER, Remedy.REDIS_NO_CLUSTER)
def test_a_cluster(start: Start) -> None:
    cluster, one = start("cluster", "--cluster-enabled", "yes"), delivery(match())
    with redis.Redis.from_url(cluster) as client:
        client.execute_command("CLUSTER ADDSLOTSRANGE 0 16383")
        wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
    said = found(cluster)
    assert (said.status, said.observed) == (Status.FAIL, "a cluster, though FACESTREAM_REDIS_CLUSTER is not set")
    sink = RedisSink(cluster)
    other = delivery(match(), number=one.partition.partition + 1)
    with pytest.raises(SinkUnavailable, match="Redis is a cluster: set FACESTREAM_REDIS_CLUSTER=true"):
        sink.write([one, other])
    sink.close()
    now = RedisAddress(cluster, cluster=True)
    with closing(RedisSink(now)) as sink, closing(RedisResults(now)) as results:
        sink.assign([Position(each.partition, 0, "") for each in (one, other)])
        sink.write([one, other])
        assert len(results.answers([one.event.event_id, other.event.event_id])) == 2  # type: ignore[union-attr]
    alone = look(check(Settings(redis_url=start("alone"), redis_cluster=True)))["redis"]
    assert "though FACESTREAM_REDIS_CLUSTER is set" in alone.observed
    said = look(check(Settings(redis_url=cluster, redis_cluster=True)))["redis"]
    assert said.status is Status.OK
    assert said.observed.startswith("takes writes on 1 shards at 127.0.0.1:")


@heals(Remedy.REDIS_SAVES)
def test_a_redis_that_cannot_save(start: Start, tmp_path: Path) -> None:
    url = start("saves", "--save", "3600 1", "--dbfilename", "dump.rdb")
    in_the_way = tmp_path / "saves" / "dump.rdb"
    in_the_way.mkdir()
    with redis.Redis.from_url(url) as client:
        client.set("x", 1)
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        said = found(url)
        assert said.status is Status.FAIL
        assert said.observed.startswith("takes no writes")
        in_the_way.rmdir()
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok")
        assert client.get("x") == b"1"
    assert found(url).status is Status.OK


@heals(Remedy.REDIS_REPLICAS)
def test_a_redis_that_wants_replicas(start: Start) -> None:
    url = start("wants", "--min-replicas-to-write", "1")
    assert found(url).status is Status.FAIL
    with redis.Redis.from_url(url) as client:
        client.config_set("min-replicas-to-write", 0)
    assert found(url).status is Status.OK
    assert not lost(url, delivery(match()))


@heals(Remedy.REDIS_RIGHTS)
def test_a_user_without_the_right_to_write(start: Start) -> None:
    url = start("rights")
    theirs = url.replace("redis://", "redis://reader:secret@")
    with redis.Redis.from_url(url) as client:
        client.execute_command("ACL SETUSER reader on >secret ~other:* +@read +@connection +info +time")
        said = found(theirs)
        assert said.status is Status.FAIL
        assert "secret" not in said.observed
        client.execute_command("ACL SETUSER reader ~facestream:* &* +@all")
    assert found(theirs).status is Status.OK
    assert not lost(theirs, delivery(match()))


@heals(Remedy.REDIS_PASSWORD, Remedy.REDIS_ADDRESS)
def test_a_password_that_is_refused(start: Start, tmp_path: Path) -> None:
    url, file = start("password"), tmp_path / "file"
    with redis.Redis.from_url(url) as client:
        client.config_set("requirepass", "pa55/word")
    file.write_text("pa55/wrod")
    now = Settings(redis_url=url, redis_password_file=file)
    for wrong in (now, settings(url)):
        said = look(check(wrong))["redis"]
        assert said.observed.startswith("the one at 127.0.0.1:") and "refuses the user or the password" in said.observed
    assert "pa55" not in repr(look(check(settings(url.replace("//", "//:pa55/word@")))))
    file.write_text("pa55/word")
    assert look(check(now))["redis"].status is Status.OK


@heals(Remedy.REDIS_CERTIFICATE, Remedy.REDIS_HOST_NAME, Remedy.REDIS_EXPIRED)
def test_a_certificate_that_does_not_fit(start: Start, tmp_path: Path) -> None:
    port = int(start("behind").split(":")[2].split("/")[0])
    ours, other = Certificates(tmp_path), Certificates(tmp_path, "other")
    past = datetime(2020, 1, 1, tzinfo=UTC)
    for context, host, ca_file, words in (
        (ours.context("localhost"), "localhost", other.ca_file, "a certificate that no trusted CA has signed"),
        (ours.context("localhost"), "127.0.0.1", ours.ca_file, "a certificate for another host name"),
        (ours.context("localhost", until=past), "localhost", ours.ca_file, "a certificate that does not count now"),
        (ours.context("localhost"), "localhost", ours.ca_file, ""),
    ):
        with terminator(context, port) as tls:
            now = Settings(redis_url=f"rediss://{host}:{tls}/0", redis_ca_file=ca_file)
            said = look(check(now))["redis"]
            assert (said.status is Status.OK) == (not words)
            assert words in said.observed


@heals(Remedy.REDIS_LOG)
def test_a_redis_that_is_busy(start: Start) -> None:
    url = start("busy", "--busy-reply-threshold", "50")

    def spin() -> None:
        with redis.Redis.from_url(url) as client, pytest.raises(redis.ResponseError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=spin)
    thread.start()
    with redis.Redis.from_url(url) as client:
        wait_until(lambda: _busy(client))
        assert found(url).status is Status.FAIL
        client.script_kill()
    thread.join()
    assert found(url).status is Status.OK


def _busy(client: redis.Redis) -> bool:
    time.sleep(0.02)
    try:
        client.ping()
    except redis.ResponseError:
        return True
    return False


@heals(Remedy.REDIS_AWAY)
def test_a_redis_that_is_not_there(start: Start) -> None:
    assert found("redis://127.0.0.1:1/0").status is Status.FAIL
    assert found(start("there")).status is Status.OK
