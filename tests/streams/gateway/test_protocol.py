"""What comes before a request is known: slow and large heads, silent connections, and what is no HTTP."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from streams.gateway import protocol
from tests.waiting import wait_until

GET = b"GET /api/ HTTP/1.1\r\nHost: gateway\r\n"


@contextmanager
def connected(http: httpx.Client) -> Iterator[socket.socket]:
    with socket.create_connection((http.base_url.host, http.base_url.port or 0), timeout=30) as connection:
        yield connection


def rest_of(connection: socket.socket) -> tuple[bytes, dict[str, str]]:
    """The head of what comes until the gateway ends the connection, and the problem in its body."""
    received = b""
    with suppress(ConnectionResetError):  # for what was sent and not read
        while part := connection.recv(65_536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return head.lower(), json.loads(body) if body else {}


def refusal(http: httpx.Client, *parts: bytes) -> tuple[int, str]:
    """Status and reason of the answer to bytes."""
    with connected(http) as connection:
        with suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
                time.sleep(0.01)  # so that they come one after the other
        head, problem = rest_of(connection)
    assert b"content-type: application/problem+json" in head and b"x-content-type-options: nosniff" in head
    assert b"connection: close" in head
    return int(head.split()[1]), problem["reason"]


def test_a_head_that_is_too_large_is_refused(http: httpx.Client) -> None:
    large = b"x" * protocol.HEAD_BYTES
    for sent in (
        (GET + b"X-Large: " + large + b"\r\n\r\n",),
        (b"GET /api/?" + large + b" HTTP/1.1\r\n\r\n",),
        (GET, *[b"X-Many: " + large[:4096] + b"\r\n"] * 12),
        (GET + b"X-Endless: ", *[large[:4096]] * 12),
        (b"GET /", *[large[:4096]] * 12),
    ):
        assert refusal(http, *sent) == (431, "head_too_large")
    with connected(http) as connection:
        connection.sendall(GET + b"X-Some: " + large[: protocol.HEAD_BYTES // 2] + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_large_bodies_are_no_heads(http: httpx.Client, everything: dict[str, str]) -> None:
    """Several requests on one connection, whose bodies are larger than a head may be."""
    picture = b"\xff\xd8\xff\xe0" + b"x" * 90_000
    for number in range(3):
        headers = everything | {"Content-Type": "image/jpeg"}
        url = f"/api/v1/users/anna/frames?camera_id=door-{number}"
        assert http.post(url, content=picture, headers=headers).status_code == 202


def test_a_slow_head_and_a_silent_connection_end(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)
    assert refusal(http, GET) == (408, "too_slow")
    with connected(http) as silent:
        assert rest_of(silent) == (b"", {})
    with connected(http) as second:
        second.sendall(GET + b"\r\n")
        assert second.recv(4096).startswith(b"HTTP/1.1 200")
        second.sendall(b"GET /api/")
        head, problem = rest_of(second)
        assert (b"408" in head, problem["reason"]) == (True, "too_slow")
    with connected(http) as empty:
        empty.sendall(GET + b"\r\n")
        assert empty.recv(4096).startswith(b"HTTP/1.1 200")
        empty.sendall(b"\r\n")
        assert rest_of(empty)[0][:12] in (b"", b"http/1.1 408")


def test_a_body_that_takes_longer_than_a_head_may_is_read(
    http: httpx.Client, everything: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    with connected(http) as connection:
        key = everything["Authorization"].encode()
        connection.sendall(
            b"POST /api/v1/users/anna/frames?camera_id=door HTTP/1.1\r\nHost: gateway\r\nContent-Type: image/jpeg\r\n"
            b"Content-Length: 8\r\nAuthorization: " + key + b"\r\n\r\n\xff\xd8\xff\xe0"
        )
        time.sleep(0.5)  # longer than a head
        connection.sendall(b"more")
        assert connection.recv(4096).startswith(b"HTTP/1.1 202")


def test_what_is_no_http_is_told_so(http: httpx.Client) -> None:
    assert refusal(http, b"\x16\x03\x01\x00\xff hello\r\n\r\n") == (400, "invalid_request")


def test_there_are_only_so_many_connections(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS", 0)
    assert refusal(http) == (503, "busy")
    monkeypatch.undo()
    wait_until(lambda: http.get("/api/").status_code == 200)
