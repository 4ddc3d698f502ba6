"""Against a real TLS server on the loopback, with an authority of its own."""

import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from schemas.ingest import Picture
from schemas.parts import Refusal
from schemas.reasons import Reason
from streams.embedding.payload import PayloadUnavailable, fetch, https
from streams.settings import Settings

LIMIT = 1_000


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        port = self.headers["Host"].rpartition(":")[2]
        if name.startswith("status-"):
            self.send_response(int(name.removeprefix("status-")))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif name.startswith("to-"):
            to = {
                "to-good": "good.jpg",
                "to-outside": f"https://localhost:{port}/private/good.jpg",
                "to-http": f"http://localhost:{port}/photos/good.jpg",
                "to-metadata": "https://169.254.169.254/photos/",
                "to-itself": "to-itself",
            }[name]
            self.send_response(302)
            self.send_header("Location", to)
            self.end_headers()
        else:
            self.send_response(200)
            self.end_headers()
            body = {"good.jpg": b"picture", "empty.jpg": b""}.get(name, b"x" * (LIMIT + 1))
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def address(authority: trustme.CA) -> Iterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def trusted(authority: trustme.CA) -> Iterator[None]:
    authority.configure_trust(https._tls())
    yield
    https._tls.cache_clear()


def get(address: str, path: str, *, private: bool = True, roots: list[str] | None = None) -> bytes | Refusal:
    settings = Settings(
        uri_roots=[f"{address}/photos/"] if roots is None else roots,
        uri_private_networks=private,
        max_picture_bytes=LIMIT,
    )
    return fetch(Picture(uri=address + path), settings)


def reason(address: str, path: str, **options: bool | list[str]) -> str:
    answer = get(address, path, **options)  # type: ignore[arg-type]
    assert isinstance(answer, Refusal), answer
    return answer.reason


@pytest.mark.usefixtures("trusted")
def test_reads(address: str) -> None:
    assert get(address, "/photos/good.jpg") == b"picture"
    assert get(address, "/photos/to-good") == b"picture"


def test_off_by_default(address: str) -> None:
    assert reason(address, "/photos/good.jpg", roots=[]) == Reason.URI_NOT_ALLOWED


@pytest.mark.usefixtures("trusted")
def test_private_networks_only_if_allowed(address: str) -> None:
    assert reason(address, "/photos/good.jpg", private=False) == Reason.URI_NOT_ALLOWED
    assert reason(address, "/photos/good.jpg", private=False, roots=["https://localhost/"]) == Reason.URI_NOT_ALLOWED


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("path", ["/private/good.jpg", "/photos/../private/good.jpg", "/photos/%2e%2e/private/x"])
def test_only_below_the_root(address: str, path: str) -> None:
    assert reason(address, path) == Reason.URI_NOT_ALLOWED


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("path", ["/photos/to-outside", "/photos/to-http", "/photos/to-metadata"])
def test_redirects_may_not_lead_out(address: str, path: str) -> None:
    assert reason(address, path) == Reason.URI_NOT_ALLOWED


@pytest.mark.usefixtures("trusted")
def test_redirects_end(address: str) -> None:
    assert reason(address, "/photos/to-itself") == Reason.URI_UNREADABLE


def test_an_unknown_authority_is_not_trusted(address: str) -> None:
    assert reason(address, "/photos/good.jpg") == Reason.URI_UNREADABLE


def test_a_user_in_the_address_is_not_taken(address: str) -> None:
    with_user = address.replace("https://", "https://example.com@")
    assert reason(with_user, "/photos/good.jpg", roots=[f"{address}/photos/"]) == Reason.URI_NOT_ALLOWED


@pytest.mark.usefixtures("trusted")
def test_sizes(address: str) -> None:
    assert reason(address, "/photos/large.jpg") == Reason.PICTURE_TOO_LARGE
    assert reason(address, "/photos/empty.jpg") == Reason.EMPTY_PICTURE


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_no_is_final(address: str, status: int) -> None:
    assert reason(address, f"/photos/status-{status}") == Reason.URI_UNREADABLE


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_not_now_may_be_tried_again(address: str, status: int) -> None:
    with pytest.raises(PayloadUnavailable):
        get(address, f"/photos/status-{status}")


def test_no_server_may_be_tried_again() -> None:
    with pytest.raises(PayloadUnavailable):
        get("https://localhost:1", "/photos/good.jpg")


def _fail_to_resolve(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def getaddrinfo(*args: object, **options: object) -> None:
        raise socket.gaierror(error, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_no_such_host_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_to_resolve(monkeypatch, socket.EAI_NONAME)
    assert reason("https://localhost:1", "/photos/good.jpg") == Reason.URI_UNREADABLE


def test_a_name_that_no_host_can_have_is_final() -> None:
    assert reason(f"https://{'x' * 70}.example", "/photos/good.jpg") == Reason.URI_UNREADABLE


def test_no_name_server_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_to_resolve(monkeypatch, socket.EAI_AGAIN)
    with pytest.raises(PayloadUnavailable):
        get("https://localhost:1", "/photos/good.jpg")
