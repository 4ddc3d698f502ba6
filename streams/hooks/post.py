"""Posts one message to an address: checked, signed, without redirects, and within a time.

The host's name is looked up once for each connection; what it says is checked and then connected to, so that a name
that changes its address in between gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streams.hooks.addresses import AddressRefused, HookAddress, check_leads_to, checked_address
from streams.hooks.secrets import HookSecret
from streams.settings import Settings

_CONNECT_S = 5.0
_IDLE_S = 10.0
_LOOKUPS = 64
_ERROR_TEXT = 200
_GONE = 410


@dataclass(frozen=True, slots=True)
class PostResult:
    """What an address has answered.

    Attributes:
        accepted: it has the message: any status from 200 to 299.
        what: the same in words, without the address, which may hold a secret.
        is_gone: it wants no more messages (410).
        wait_s: how long it wants not to be asked again; 0 if it does not say.
    """

    accepted: bool
    what: str
    is_gone: bool = False
    wait_s: float = 0.0


class _CheckedNames(AbstractResolver):
    """Looks names up, and gives no address that may not be connected to."""

    def __init__(self, settings: Settings, *, is_secure: bool) -> None:
        """``is_secure``: what is posted there is encrypted."""
        self._settings = settings
        self._is_secure = is_secure
        # The loop's own threads are few, and a name server that does not answer would keep all of them.
        self._threads = ThreadPoolExecutor(_LOOKUPS, "names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name, all of them allowed.

        Raises:
            OSError: there is no such name, or it cannot be looked up now.
            AddressRefused: one of its addresses may not be connected to.
        """
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        address = HookAddress(self._is_secure, host, port)
        check_leads_to(address, [str(entry[4][0]) for entry in found], self._settings)
        return [
            ResolveResult(
                hostname=host,
                host=str(sockaddr[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, sockaddr in found
        ]

    async def close(self) -> None:
        """Look nothing up any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Poster:
    """Posts to any address, and keeps connections for a few seconds; an asynchronous context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Self:
        self._sessions = {is_secure: self._session(is_secure=is_secure) for is_secure in (True, False)}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            await session.close()

    async def post(self, address: str, secret: HookSecret, message_id: str, body: bytes) -> PostResult:
        """Post one message, and tell what came of it; whatever is wrong with the address is an answer."""
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": "facestream-hooks/1",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": secret.signature(message_id, timestamp, body),
        }
        try:
            session = self._sessions[checked_address(address, self._settings).is_secure]
            async with session.post(
                URL(address, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as response:
                return _result(response)
        except AddressRefused as error:
            return PostResult(False, str(error))
        except TimeoutError:
            return PostResult(False, f"it has not answered within {self._settings.hook_timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return PostResult(False, f"it does not answer: {type(error).__name__} {error}"[:_ERROR_TEXT])

    def _session(self, *, is_secure: bool) -> aiohttp.ClientSession:
        tls = ssl.create_default_context()
        # Beside the system's authorities, which a minimal image may lack.
        tls.load_verify_locations(certifi.where())
        connector = aiohttp.TCPConnector(
            resolver=_CheckedNames(self._settings, is_secure=is_secure),
            use_dns_cache=False,
            limit=0,
            ssl=tls,
            keepalive_timeout=_IDLE_S,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._settings.hook_timeout_s, sock_connect=_CONNECT_S),
            auto_decompress=False,
        )


def _result(response: aiohttp.ClientResponse) -> PostResult:
    """What the status says; nobody reads the body."""
    status, retry_after = response.status, response.headers.get("Retry-After", "")
    wait_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 9 else 0.0
    if 200 <= status < 300:
        return PostResult(True, f"it has answered {status}")
    what = f"it has answered {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")
    return PostResult(False, what, status == _GONE, wait_s if status in (429, 503) else 0.0)
