"""Receivers of hooks: real HTTP servers on the loopback, each of which answers as a test wants."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme


@dataclass
class Receiver:
    """What has come, and how it answers: with a status, after some seconds."""

    port: int = 0
    scheme: str = "http"
    status: int = 200
    slow_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    refused_ids: set[str] = field(default_factory=set)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """Headers, in small letters, and body of every request."""

    @property
    def address(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/hook?token=geheim"

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """The bodies of what it has accepted, each message once."""
        return list(
            {
                headers["webhook-id"]: json.loads(body)
                for headers, body in self.got
                if headers["answer"].startswith("2")
            }.values()
        )

    def serve(self, authority: trustme.CA | None = None) -> ThreadingHTTPServer:
        """Begin, on the port of before if there was one."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = 500 if headers["webhook-id"] in receiver.refused_ids else receiver.status
                receiver.got.append((headers | {"answer": str(status), "path": self.path}, body))
                time.sleep(receiver.slow_s)
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away, or does not trust the certificate, is part of the tests."""

        server = Server(("127.0.0.1", self.port), Handler)
        self.port = server.server_port
        if authority is not None:
            self.scheme = "https"
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert("localhost").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server


def shut(server: ThreadingHTTPServer) -> None:
    """Have nobody listen there any more."""
    server.shutdown()
    server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    server = one.serve()
    yield one
    shut(server)
