"""An erasure that lasts: results of others are not late, those of its user wait for it, and nothing is done twice."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import confluent_kafka
import pytest
import requests

from infra.services import LocalServices
from schemas import codec
from schemas.clock import utc_now
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from schemas.results import Match
from sinks.bigquery import Address, BigQuerySink, run_query
from streams.engine.sink_worker import SinkWorker
from streams.kafka.connection import admin_client, client_config
from streams.kafka.consumer_groups import committed_offsets, group_id
from streams.kafka.messages import TopicPartition
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.privacy.erasures import NewErasures
from streams.roles import Role
from streams.settings import Settings
from tests.integration.clients import eventually
from tests.sinks.examples import match
from tests.sinks.servers import apply_tables

PATIENCE_S = 180.0


def wait_until(condition: Callable[[], object]) -> None:
    eventually(condition, "what is waited for", PATIENCE_S)


class SlowServer:
    """Stands before BigQuery's REST side and keeps statements that delete waiting as long as ``held`` is set."""

    def __init__(self, target: str) -> None:
        self.held = threading.Event()
        self.waiting = threading.Semaphore(0)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if b"DELETE FROM" in body and proxy.held.is_set():
                    proxy.waiting.release()
                    while proxy.held.is_set():
                        threading.Event().wait(0.01)
                kept = {name: self.headers[name] for name in ("Content-Type",) if name in self.headers}
                answer = requests.request(self.command, target + self.path, data=body, headers=kept, timeout=120)
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.held.clear()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    name = f"erasing-{uuid.uuid4().hex[:8]}"
    made = Settings(
        **services.addresses.settings(),
        topic_prefix=f"{name}.",
        bigquery_dataset=name.replace("-", "_"),
        partitions=1,
        commit_interval_s=0.1,
    )
    create(admin_client(made), made)
    return made


@pytest.fixture
def tables(settings: Settings) -> Address:
    now = settings
    address = Address(now.bigquery_project, now.bigquery_dataset, now.bigquery_rest, now.bigquery_grpc)
    apply_tables(address)
    return address


@pytest.fixture
def server(settings: Settings) -> Iterator[SlowServer]:
    server = SlowServer(settings.bigquery_rest or "")
    yield server
    server.close()


@contextmanager
def running(settings: Settings, tables: Address, server: SlowServer) -> Iterator[SinkWorker]:
    """A worker for BigQuery in this process."""
    slow = Address(tables.project, tables.dataset, server.address, tables.grpc)
    sink = BigQuerySink(slow, {Topic.MATCHES.named(settings): Match})
    worker = SinkWorker(Role.SINK_BIGQUERY, settings, sink, {Topic.MATCHES: Match}, batch_size=50, linger_s=0.0)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def put(settings: Settings, topic: Topic, *events: Match | Erasure) -> None:
    producer = confluent_kafka.Producer(client_config(settings))
    for event in events:
        producer.produce(topic.named(settings), codec.encode(event), event.user_id.encode())
    assert producer.flush(30) == 0


def erase(settings: Settings, user_id: str) -> Erasure:
    """What match says when it has erased."""
    erasure = Erasure(new_event_id(), user_id, utc_now(), stage=Role.MATCH)
    put(settings, Topic.ERASURES, erasure)
    threading.Event().wait(0.01)  # what comes now is later, by the broker's clock of milliseconds
    return erasure


def rows(tables: Address) -> set[str]:
    found = run_query(tables.rest_client(), "SELECT event_id FROM matches", dataset=tables.dataset_id).rows
    assert len(found) == len({row["event_id"] for row in found}), "each once"
    return {row["event_id"] for row in found}


def committed(settings: Settings, topic: Topic) -> int:
    return committed_offsets(settings, group_id(Role.SINK_BIGQUERY, settings)).get(
        TopicPartition(topic.named(settings), 0), 0
    )


def done(settings: Settings) -> list[str]:
    begin = dict.fromkeys(range(settings.partitions), 0)
    return [one.erasure_id for _, one in NewErasures(settings, Role.SINK_BIGQUERY).since(begin)]


def test_others_go_on_while_one_is_erased(settings: Settings, tables: Address, server: SlowServer) -> None:
    old, later, latest = (match(user_id="ursula", sequence=n) for n in range(3))
    others = [match(user_id="bert", sequence=n) for n in range(30)]
    with running(settings, tables, server) as worker:
        put(settings, Topic.MATCHES, old, others[0])
        wait_until(lambda: rows(tables) == {old.event_id, others[0].event_id})
        before = committed(settings, Topic.ERASURES)
        server.held.set()
        asked = erase(settings, "ursula")
        assert server.waiting.acquire(timeout=PATIENCE_S)
        put(settings, Topic.MATCHES, others[1], later, *others[2:], latest)
        wait_until(lambda: {one.event_id for one in others} <= rows(tables))
        assert not {later.event_id, latest.event_id} & rows(tables)
        wait_until(lambda: committed(settings, Topic.MATCHES) == 3)
        assert committed(settings, Topic.ERASURES) == before
        assert done(settings) == []
        assert worker.facts().ready
        server.held.clear()
        everyone = {one.event_id for one in (*others, later, latest)}
        wait_until(lambda: rows(tables) == everyone)
        wait_until(lambda: committed(settings, Topic.MATCHES) == 33)
        wait_until(lambda: committed(settings, Topic.ERASURES) > before)
        assert done(settings) == [asked.erasure_id]


def test_what_was_under_way_when_a_worker_stopped_is_done_by_the_next(
    settings: Settings, tables: Address, server: SlowServer
) -> None:
    old, later, other = match(user_id="ursula"), match(user_id="ursula", sequence=1), match(user_id="bert")
    with running(settings, tables, server):
        put(settings, Topic.MATCHES, old)
        wait_until(lambda: rows(tables) == {old.event_id})
        wait_until(lambda: committed(settings, Topic.MATCHES) == 1)
        server.held.set()
        asked = erase(settings, "ursula")
        assert server.waiting.acquire(timeout=PATIENCE_S)
        put(settings, Topic.MATCHES, later, other)
        wait_until(lambda: other.event_id in rows(tables))
    assert committed(settings, Topic.MATCHES) == 1
    with running(settings, tables, server):
        assert server.waiting.acquire(timeout=PATIENCE_S), "it begins again"
        assert done(settings) == []
        server.held.clear()
        wait_until(lambda: rows(tables) == {later.event_id, other.event_id})
        wait_until(lambda: committed(settings, Topic.MATCHES) == 3)
    assert set(done(settings)) == {asked.erasure_id}


def test_two_erasures_of_one_user_let_nothing_of_between_through(
    settings: Settings, tables: Address, server: SlowServer
) -> None:
    old, between, last = (match(user_id="ursula", sequence=n) for n in range(3))
    with running(settings, tables, server):
        put(settings, Topic.MATCHES, old)
        wait_until(lambda: rows(tables) == {old.event_id})
        server.held.set()
        first = erase(settings, "ursula")
        assert server.waiting.acquire(timeout=PATIENCE_S)
        put(settings, Topic.MATCHES, between)
        second = erase(settings, "ursula")
        put(settings, Topic.MATCHES, last)
        server.held.clear()
        wait_until(lambda: done(settings) == [first.erasure_id, second.erasure_id])
        wait_until(lambda: rows(tables) == {last.event_id})
        wait_until(lambda: committed(settings, Topic.MATCHES) == 3)


def test_more_than_can_be_held_waits_and_goes_on(
    settings: Settings, tables: Address, server: SlowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.engine.result_writer._MOST_HELD", 2)
    later = [match(user_id="ursula", sequence=n) for n in range(9)]
    with running(settings, tables, server) as worker:
        put(settings, Topic.MATCHES, match(user_id="bert"))
        wait_until(lambda: len(rows(tables)) == 1)
        server.held.set()
        erase(settings, "ursula")
        assert server.waiting.acquire(timeout=PATIENCE_S)
        put(settings, Topic.MATCHES, *later, match(user_id="bert", sequence=1))
        wait_until(lambda: worker.heartbeat.waiting is not None and "results wait" in worker.heartbeat.waiting.error)
        assert worker.facts().ready, "it stays in its group"
        server.held.clear()
        wait_until(lambda: len(rows(tables)) == 11)
        wait_until(lambda: committed(settings, Topic.MATCHES) == 11)
