"""One message to a real server: what it gets, and what comes of every kind of answer."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest
import trustme

from streams.hooks.post import Poster, PostResult
from streams.hooks.secrets import HookSecret
from streams.settings import Settings
from tests.streams.hooks.conftest import Receiver, shut

INSIDE = Settings(hook_private_networks=True, hook_timeout_s=0.5)
SECRET = HookSecret(b"s" * 32)
BODY = b'{"type": "test"}'


def post(address: str, settings: Settings = INSIDE) -> PostResult:
    async def run() -> PostResult:
        async with Poster(settings) as poster:
            return await poster.post(address, SECRET, "id-1", BODY)

    return asyncio.run(run())


def test_what_is_posted_is_signed(receiver: Receiver) -> None:
    assert post(receiver.address) == PostResult(True, "it has answered 200")
    ((headers, body),) = receiver.got
    assert body == BODY and headers["content-type"] == "application/json"
    assert headers["path"] == "/hook?token=geheim"
    assert headers["host"] == f"localhost:{receiver.port}"
    at = int(headers["webhook-timestamp"])
    assert abs(at - time.time()) < 60
    assert headers["webhook-id"] == "id-1"
    assert headers["webhook-signature"] == SECRET.signature("id-1", at, BODY)


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_any_other_answer_is_a_failure(receiver: Receiver, status: int) -> None:
    receiver.status = status
    assert post(receiver.address) == PostResult(False, f"it has answered {status}")


def test_a_receiver_may_ask_for_a_pause_or_for_no_more(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "120"}
    assert post(receiver.address).wait_s == 120
    receiver.headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert post(receiver.address).wait_s == 0
    receiver.status = 410
    assert post(receiver.address).is_gone


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 307, {"Location": receiver.address + "&again"}
    result = post(receiver.address)
    assert not result.accepted and "redirects are not followed" in result.what
    assert len(receiver.got) == 1


def test_who_is_slow_or_away_has_not_accepted_it(receiver: Receiver) -> None:
    receiver.slow_s = 3
    assert post(receiver.address) == PostResult(False, "it has not answered within 0.5 s")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        result = post(f"http://localhost:{free.getsockname()[1]}/?token=geheim")
    assert not result.accepted and "does not answer" in result.what
    assert "geheim" not in result.what


def test_nothing_goes_to_a_private_network_unless_allowed(receiver: Receiver) -> None:
    outside = Settings()
    secure = receiver.address.replace("http:", "https:")
    for address in (secure, secure.replace("localhost", "127.0.0.1"), secure.replace("localhost", "2130706433")):
        result = post(address, outside)
        assert not result.accepted, address
        assert "private" in result.what or "canonical" in result.what
    assert "must begin with https" in post(receiver.address, outside).what
    assert receiver.got == []


def test_a_name_is_looked_up_once_for_a_connection_and_what_it_said_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that says something harmless first and the loopback then gains nothing."""
    real, asked = socket.getaddrinfo, []

    def rebinding(host: str, port: int, *args: object, **options: object) -> object:
        if host not in (b"rebind.example", "rebind.example"):
            return real(host, port, *args, **options)  # type: ignore[arg-type]
        asked.append(host)
        ip = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    outside = Settings(hook_timeout_s=0.3)
    connected: list[object] = []

    async def connect(self: object, sock: socket.socket, address: object) -> None:
        connected.append(address)
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", connect)
    result = post(f"https://rebind.example:{receiver.port}/", outside)
    assert not result.accepted
    assert connected == [("8.8.8.8", receiver.port)] and len(asked) == 1
    result = post(f"https://rebind.example:{receiver.port}/", outside)
    assert "private network" in result.what
    assert len(connected) == 1, "the second time it said the loopback"


def test_a_certificate_must_be_of_an_authority_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, receiver = trustme.CA(), Receiver()
    server = receiver.serve(authority)
    try:
        result = post(receiver.address)
        assert not result.accepted and "CERTIFICATE_VERIFY_FAILED" in result.what
        assert receiver.got == []
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert post(receiver.address).accepted
        wrong = post(receiver.address.replace("localhost", "127.0.0.1"))
        assert not wrong.accepted and receiver.ids == ["id-1"], "it is not the certificate of that name"
    finally:
        shut(server)
