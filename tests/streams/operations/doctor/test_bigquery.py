"""A BigQuery that answers and cannot be used is found, and each remedy heals it and loses no row."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from infra import bigquery as server
from infra import redis
from infra.ports import free_ports
from infra.services import LocalServices
from infra.supervisor import Supervisor
from sinks.bigquery import Address, apply, run_query
from streams.operations.doctor.bigquery import check
from streams.operations.doctor.finding import Finding, Status
from streams.operations.doctor.redis import check as look_at_redis
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings
from tests.sinks.examples import delivery, match
from tests.sinks.rows import write
from tests.streams.operations.doctor.clusters import Cluster
from tests.streams.operations.doctor.ledger import heals, look


@pytest.fixture
def cluster(services: LocalServices, tmp_path: Path) -> Cluster:
    return Cluster(services, tmp_path)


def address(settings: Settings) -> Address:
    return Address(settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc)


def found(cluster: Cluster, **changes: object) -> dict[str, Finding]:
    return look(check(cluster.settings.model_copy(update=changes)))


def rows(cluster: Cluster, table: str) -> int:
    at = address(cluster.settings)
    sql = f"SELECT COUNT(*) AS n FROM {table}"
    return int(run_query(at.rest_client(), sql, dataset=at.dataset_id).rows[0]["n"])


@heals(Remedy.APPLY)
def test_tables_and_columns_that_are_missing(cluster: Cluster) -> None:
    assert found(cluster)["bigquery tables"].status is Status.FAIL
    assert cluster.run("bigquery", "apply").code == 0
    said = found(cluster)
    assert said["bigquery tables"].status is said["bigquery storage write"].status is Status.OK
    assert "takes rows" in said["bigquery storage write"].observed
    assert rows(cluster, "resolutions") == 0, "what the doctor appends nobody sees"

    at = address(cluster.settings)
    client, name = at.rest_client(), f"{at.dataset_id}.matches"
    of_earlier = client.get_table(name)
    client.delete_table(name)
    fields = [field for field in of_earlier.schema if field.name != "width"]
    earlier = bigquery.Table(name, fields)
    earlier.description = of_earlier.description
    earlier.time_partitioning, earlier.clustering_fields = of_earlier.time_partitioning, of_earlier.clustering_fields
    client.create_table(earlier)
    needed = "(event_id, user_id, matched_at, kafka_topic, kafka_partition, kafka_offset, written_at)"
    now = "CURRENT_TIMESTAMP()"
    run_query(client, f"INSERT INTO `{name}` {needed} VALUES ('e', 'anna', {now}, 'matches', 0, 0, {now})")
    said = found(cluster)
    assert said["bigquery tables"].status is Status.FAIL, "the sink would wait for ever"
    assert "matches.width" in said["bigquery tables"].observed
    assert cluster.run("bigquery", "apply").code == 0
    assert found(cluster)["bigquery tables"].status is Status.OK
    assert rows(cluster, "matches") == 1


@heals(Remedy.INCOMPATIBLE)
def test_a_table_of_another_form(cluster: Cluster) -> None:
    at = address(cluster.settings)
    client = at.rest_client()
    apply(client, at.dataset_id)
    client.delete_table(f"{at.dataset_id}.matches")
    client.create_table(bigquery.Table(f"{at.dataset_id}.matches", [bigquery.SchemaField("event_id", "STRING")]))
    run_query(client, f"INSERT INTO `{at.dataset_id}.matches` (event_id) VALUES ('theirs')")
    assert found(cluster)["bigquery tables"].status is Status.FAIL
    run_query(client, f"ALTER TABLE `{at.dataset_id}.matches` RENAME TO matches_of_others")
    assert cluster.run("bigquery", "apply").code == 0
    assert found(cluster)["bigquery tables"].status is Status.OK
    assert rows(cluster, "matches_of_others") == 1


@heals(Remedy.BIGQUERY_AWAY, Remedy.BIGQUERY_WRITE_AWAY)
def test_a_bigquery_that_is_not_there(cluster: Cluster) -> None:
    said = found(cluster, bigquery_rest="http://127.0.0.1:1", bigquery_grpc="127.0.0.1:1")
    assert said["bigquery"].status is said["bigquery storage write"].status is Status.FAIL
    assert found(cluster)["bigquery"].status is Status.OK


@heals(Remedy.BIGQUERY_CREDENTIALS)
def test_googles_bigquery_without_credentials(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("HOME", str(cluster.settings.home))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    assert found(cluster, bigquery_rest=None, bigquery_grpc=None)["bigquery"].status is Status.FAIL
    assert found(cluster)["bigquery"].status is Status.OK


class _Refuses(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(
            b'{"error": {"code": 403, "message": "Access Denied", "errors": [{"reason": "accessDenied"}]}}'
        )

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Refuses) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@heals(Remedy.BIGQUERY_RIGHTS)
def test_an_account_without_rights(cluster: Cluster, refusing: str) -> None:
    said = found(cluster, bigquery_rest=refusing)["bigquery"]
    assert said.status is Status.FAIL
    assert "Access Denied" in said.observed
    assert found(cluster)["bigquery"].status is Status.OK


@heals(Remedy.HANGS)
def test_services_that_hang_and_are_restarted(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        redis_url = redis.start(supervisor, tmp_path / "redis", *free_ports(1))
        rest, grpc = server.start(supervisor, tmp_path / "bigquery", *free_ports(2))
        settings = Settings(home=tmp_path, redis_url=redis_url, bigquery_rest=rest, bigquery_grpc=grpc)
        at = address(settings)
        apply(at.rest_client(), at.dataset_id)
        write(at, [delivery(match())])
        for pid in supervisor.running().values():
            os.kill(pid, signal.SIGSTOP)
        try:
            said = look([*look_at_redis(settings), *check(settings)])
        finally:
            for name in ("redis", "bigquery"):
                supervisor.kill(name)
        hang = {name for name, one in said.items() if one.remedy is not None and one.remedy.remedy is Remedy.HANGS}
        assert hang == {"redis", "bigquery", "bigquery storage write"}
        for name in ("redis", "bigquery"):
            supervisor.restart(name)
        assert look([*look_at_redis(settings), *check(settings)])["redis"].status is Status.OK
        assert run_query(at.rest_client(), "SELECT event_id FROM matches", dataset=at.dataset_id).rows
