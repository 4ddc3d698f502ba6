"""What is away for a while is waited for, and makes no dead letter."""

from __future__ import annotations

import ssl
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from schemas.ingest import Picture
from streams.dead_letters.store import read_records
from streams.devtools.local_stack import Stack
from streams.embedding.payload import https
from streams.embedding.pictures import fetch_with_retries
from streams.settings import Settings
from tests.integration.clients import Clients, eventually
from tests.streams.replay.test_replays import picture


def test_redis_and_bigquery_away(stack: Stack, clients: Clients) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    before = {one.letter.letter_id for one in read_records(clients.settings)}
    assert clients.answer(clients.producer.enrol(user, picture(user), consent="tests").event_id)
    for service in ("redis", "bigquery"):
        stack.services.supervisor.kill(service)
    sent = [clients.producer.frame(user, picture(user), camera_id="door") for _ in range(20)]
    for one in sent:
        one.result(20)
    time.sleep(2)  # so that each sink has tried in vain, more than once
    for service in ("redis", "bigquery"):
        stack.services.supervisor.restart(service)
    events = [one.event_id for one in sent]
    assert set(clients.answers(events)) == set(events)
    assert set(clients.rows("matches", events)) == set(events)
    assert {one.letter.letter_id for one in read_records(clients.settings)} == before


@pytest.mark.parametrize("service", ["redis", "bigquery"])
def test_what_is_away_holds_back_its_own_sink_alone(service: str, stack: Stack, clients: Clients) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    stack.services.supervisor.kill(service)
    try:
        events = [clients.producer.frame(user, picture(user), camera_id="door").event_id for _ in range(20)]
        reached = clients.rows("matches", events) if service == "redis" else clients.answers(events)
        assert set(reached) == set(events)
    finally:
        stack.services.supervisor.restart(service)
    assert set(clients.answers(events)) == set(clients.rows("matches", events)) == set(events)


class _Store(BaseHTTPRequestHandler):
    """Cannot answer at first."""

    refused = 0

    def do_GET(self) -> None:
        type(self).refused += 1
        self.send_response(503 if self.refused <= 3 else 200)
        self.end_headers()
        if self.refused > 3:
            self.wfile.write(b"picture")

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_store_that_is_away_is_asked_again() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(https._tls())
    with ThreadingHTTPServer(("127.0.0.1", 0), _Store) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"https://localhost:{server.server_address[1]}/"
        settings = Settings(uri_roots=[address], uri_private_networks=True)
        assert fetch_with_retries(Picture(uri=f"{address}photo.jpg"), settings) == b"picture"
        server.shutdown()
    assert _Store.refused == 4


def test_a_worker_that_is_killed(stack: Stack, clients: Clients) -> None:
    user = f"user-{uuid.uuid4().hex[:8]}"
    before = {one.letter.letter_id for one in read_records(clients.settings)}
    sent = [clients.producer.frame(user, picture(user), camera_id="door") for _ in range(50)]
    for name in list(stack.services.supervisor.running()):
        if name.startswith("match-"):
            stack.services.supervisor.kill(name)
            stack.services.supervisor.restart(name)
    events = [one.event_id for one in sent]
    assert set(clients.answers(events)) == set(events)
    assert eventually(lambda: clients.query("SELECT 1 AS one"), "BigQuery answers")
    assert {one.letter.letter_id for one in read_records(clients.settings)} == before
