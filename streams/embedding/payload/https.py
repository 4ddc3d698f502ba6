"""Reads pictures from https addresses."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from urllib.parse import urljoin, urlsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError, LocationValueError

from schemas.reasons import Reason
from streams.embedding.payload.errors import PayloadRefused, PayloadUnavailable
from streams.embedding.payload.roots import Address, find_root
from streams.public_addresses import is_public

CONNECT_TIMEOUT_S = 3.0
TOTAL_TIMEOUT_S = 15.0
_REDIRECTS = 3
_CHUNK_BYTES = 65_536
_BUSY = {408, 425, 429}
_REDIRECT_STATUSES = {301, 302, 303, 307, 308}


def read(uri: str, roots: Sequence[Address], limit: int, *, private_networks: bool) -> bytes:
    """The bytes behind an address; a redirect is followed as long as it stays below the roots.

    The name is resolved once, the address checked and then connected to, so that a name that changes its address
    in between gains nothing.

    Raises:
        PayloadRefused: the server says no, a redirect leads astray, the address is private, or there is too much.
        PayloadUnavailable: the server does not answer in time, or says that it cannot now.
    """
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    for _ in range(_REDIRECTS + 1):
        address, _root = find_root(uri, roots)
        answer = _get_from_any(uri, address, _resolve(address, private_networks=private_networks), limit, deadline)
        if isinstance(answer, bytes):
            return answer
        uri = urljoin(uri, answer.location)
    raise PayloadRefused(Reason.URI_UNREADABLE, f"{uri[:200]!r} redirects more than {_REDIRECTS} times")


@dataclass(frozen=True, slots=True)
class _Redirect:
    location: str


def _get_from_any(uri: str, address: Address, ips: list[str], limit: int, deadline: float) -> bytes | _Redirect:
    for ip in ips[:-1]:
        with suppress(PayloadUnavailable):
            return _get(uri, address, ip, limit, deadline)
    return _get(uri, address, ips[-1], limit, deadline)


def _get(uri: str, address: Address, ip: str, limit: int, deadline: float) -> bytes | _Redirect:
    parts = urlsplit(uri)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = f"[{address.host}]" if ":" in address.host else address.host
    header = host if address.port == 443 else f"{host}:{address.port}"
    with urllib3.HTTPSConnectionPool(
        ip,
        address.port,
        ssl_context=_tls(),
        server_hostname=address.host,
        assert_hostname=address.host,
        retries=False,
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=CONNECT_TIMEOUT_S),
    ) as pool:
        try:
            response = pool.request(
                "GET", target, headers={"Host": header}, redirect=False, preload_content=False, decode_content=False
            )
            if response.status in _REDIRECT_STATUSES:
                return _Redirect(response.headers.get("Location", ""))
            _check_status(uri, response.status)
            return _body(uri, response, limit, deadline)
        except LocationValueError as error:
            raise PayloadRefused(Reason.URI_UNREADABLE, f"{uri[:200]!r} is no address: {error}") from error
        except (HTTPError, OSError) as error:
            if isinstance(error.__cause__ or error.__context__, ssl.SSLCertVerificationError):
                raise PayloadRefused(Reason.URI_UNREADABLE, f"{uri[:200]!r}: {error}") from error
            raise PayloadUnavailable(f"{uri[:200]!r} does not answer: {error}") from error


def _body(uri: str, response: urllib3.BaseHTTPResponse, limit: int, deadline: float) -> bytes:
    data = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        data += chunk
        if len(data) > limit:
            raise PayloadRefused.too_large(limit)
        if time.monotonic() > deadline:
            raise PayloadUnavailable(f"{uri[:200]!r} took more than {TOTAL_TIMEOUT_S} s")
    return bytes(data)


def _check_status(uri: str, status: int) -> None:
    if status == 200:
        return
    if status in _BUSY or status >= 500:
        raise PayloadUnavailable(f"{uri[:200]!r} answers {status}")
    raise PayloadRefused(Reason.URI_UNREADABLE, f"{uri[:200]!r} answers {status}")


def _resolve(address: Address, *, private_networks: bool) -> list[str]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise PayloadRefused(Reason.URI_UNREADABLE, f"{address.host[:200]!r} is no name of a host: {error}") from error
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise PayloadUnavailable(f"the name {address.host!r} cannot be resolved now") from error
        raise PayloadRefused(Reason.URI_UNREADABLE, f"there is no host {address.host!r}") from error
    ips = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not private_networks and not all(map(is_public, ips)):
        raise PayloadRefused(
            Reason.URI_NOT_ALLOWED,
            f"{address.host!r} is in a private network: FACESTREAM_URI_PRIVATE_NETWORKS of the workers would allow it",
        )
    return ips


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Beside the system's authorities, which a minimal image may lack.
    context.load_verify_locations(certifi.where())
    return context
