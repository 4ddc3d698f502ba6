"""The gateway as a process: it drains at SIGTERM, waits out a broker that hangs, and tells no secret."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from infra.services import LocalServices
from infra.supervisor import Supervisor
from schemas.access import Scope
from streams.api_keys.store import create_key
from streams.client.delivery_report import DeliveryHandle
from streams.client.errors import DeliveryFailed
from streams.gateway import submitting
from streams.gateway.context import Context
from streams.gateway.server import opened
from streams.settings import Settings
from tests.streams.cli import preloaded
from tests.streams.cli.conftest import environment
from tests.streams.gateway.conftest import MakeKey, process_variables, served
from tests.waiting import wait_until

JPEG = b"\xff\xd8\xff\xe0"


@contextmanager
def gateway(settings: Settings, folder: Path, *options: str) -> Iterator[tuple[preloaded.Started, str, Path]]:
    """A gateway of its own: the process, its address and its log."""
    log = folder / "gateway.log"
    env = environment(**process_variables(settings)) | {"FACESTREAM_DEBUG": "1"}
    with log.open("wb") as output:
        process = preloaded.start(["gateway", *options], env, Path.cwd(), output, output)
    try:
        wait_until(lambda: "gateway at http" in log.read_text())
        found = re.search(r"gateway at (http://\S+?)/api/", log.read_text())
        assert found is not None
        yield process, found[1], log
    finally:
        process.send_signal(signal.SIGKILL)


def test_it_drains_and_writes_no_secret(settings: Settings, make_key: MakeKey, tmp_path: Path) -> None:
    key = make_key()
    secret = key["Authorization"].rpartition("_")[2]
    answers: list[httpx.Response] = []
    with gateway(settings, tmp_path, "--port", "0") as (process, address, log), httpx.Client(timeout=60) as http:
        http.get(f"{address}/api/v1/users/anna/subjects", headers={"Authorization": f"Bearer wrong-{secret}"})
        http.get(f"{address}/api/{secret}", headers=key)

        def wait_for_nothing() -> None:
            # Nobody has sent such an event, so only the end of the gateway ends this wait.
            answers.append(http.get(f"{address}/api/v1/events/{uuid.uuid4()}?wait=30s", headers=key))

        waiting = threading.Thread(target=wait_for_nothing)
        waiting.start()
        wait_until(lambda: "facestream_http_requests_under_way 2.0" in http.get(f"{address}/metrics").text)
        process.send_signal(signal.SIGTERM)
        waiting.join(20)
        assert process.wait(20) == 0
        assert [answer.status_code for answer in answers] == [404], "it was answered, and at once"
        assert secret not in log.read_text()


def test_what_kafka_has_not_confirmed_is_not_accepted(
    own_kafka: tuple[Supervisor, Settings], services: LocalServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor, kafka = own_kafka
    settings = kafka.model_copy(update={"redis_url": services.addresses.redis_url, "redis_prefix": "gateway-own:"})
    key, _ = create_key(settings, [Scope.FRAME], all_users=True)
    monkeypatch.setattr(submitting, "ACKNOWLEDGE_S", 1.0)
    with opened(settings) as here, served(here) as http:
        url, headers = "/api/v1/users/anna/frames", {"X-API-Key": key.text, "Content-Type": "image/jpeg"}

        def post(event_id: str) -> httpx.Response:
            return http.post(url, params={"camera_id": "door", "event_id": event_id}, content=JPEG, headers=headers)

        one, two = "5e48b24a-e01d-448d-b606-f7f6b29ca0a9", "5e48b24a-e01d-448d-b606-f7f6b29ca0aa"
        assert post(one).status_code == 202
        broker = supervisor.running()["kafka"]
        os.killpg(broker, signal.SIGSTOP)
        try:
            refused = post(two)
            assert (refused.status_code, refused.json()["reason"]) == (503, "kafka_unavailable")
            assert int(refused.headers["Retry-After"]) > 0
            assert here.keys is not None
            keys = here.keys
            monkeypatch.setattr("streams.api_keys.watcher.STALE_S", 1.0)
            wait_until(lambda: not keys.fresh)
            assert http.get("/readyz").status_code == 503
            assert post(two).json()["reason"] == "kafka_unavailable", "keys may have been revoked"
        finally:
            os.killpg(broker, signal.SIGCONT)
        wait_until(lambda: http.get("/readyz").status_code == 200)
        assert post(two).status_code == 202


def test_a_gateway_whose_producer_cannot_go_on_ends(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", ends.append)

    def send(_: float) -> DeliveryHandle:
        raise DeliveryFailed("Kafka's client cannot go on", ["one"])

    with pytest.raises(DeliveryFailed):
        asyncio.run(submitting.delivered(context, send))
    assert ends == [signal.SIGTERM]
