"""A TLS terminator in front of a server that has no TLS, such as the bundled Redis-protocol server."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import trustme


class Certificates:
    """A CA in a folder, and server certificates that it signs."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self.ca_file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def context(self, *names: str, until: datetime | None = None) -> ssl.SSLContext:
        """What a server needs that has one of these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names, not_after=until).configure_cert(context)
        return context

    def files(self, folder: Path, *names: str) -> tuple[Path, Path]:
        """A server's certificate and its key."""
        issued = self._ca.issue_cert(*names)
        certificate, key = folder / "server.pem", folder / "server.key"
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key


class Forwarder:
    """Passes connections on to a port of this machine, which a test may change."""

    def __init__(self, leads_to: int) -> None:
        self.leads_to = leads_to
        self.port = 0

    async def begin(self, context: ssl.SSLContext | None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.leads_to)
            with closing(to_writer):
                await asyncio.wait(
                    [asyncio.create_task(_pump(reader, to_writer)), asyncio.create_task(_pump(to_reader, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )


@contextmanager
def forwarder(port: int, context: ssl.SSLContext | None = None) -> Iterator[Forwarder]:
    """Pass what comes on to a port of this machine; with a context it must come by TLS."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    passes_on = Forwarder(port)
    asyncio.run_coroutine_threadsafe(passes_on.begin(context), loop).result()
    try:
        yield passes_on
    finally:
        asyncio.run_coroutine_threadsafe(passes_on.end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def terminator(context: ssl.SSLContext, port: int) -> Iterator[int]:
    """Pass what comes by TLS on to a port of this machine; its own port."""
    with forwarder(port, context) as passes_on:
        yield passes_on.port


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
