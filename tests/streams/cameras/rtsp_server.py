"""A camera for tests: an RTSP server on loopback (RFC 2326, RTP inside the connection) that does whatever cameras do.

It streams drawn pictures, encoded and packed into RTP by FFmpeg's libraries, and sender reports with its own clock. It
can ask for a password, cut its connections, fall silent, change its resolution and go away for a while.
"""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from numpy.typing import NDArray

_NTP_1970_S = 2_208_988_800
_RTP_HZ = 90_000
_PACKET_BYTES = 1_400
_OPTIONS = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none:repeat-headers=1"},
}
_NAMES = {"libx264": "H264", "libx265": "H265"}
_NONCE = "0123456789abcdef"


def grey(number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """An even picture, (height, width, 3), whose level says which it is: eight levels a picture, over and over."""
    return np.full((size[1], size[0], 3), 20 + number * 8 % 200, np.uint8)


class RtspServer:
    """One camera at ``address``; its attributes may be changed while it streams."""

    def __init__(
        self,
        *,
        codec: str = "libx264",
        size: tuple[int, int] = (160, 120),
        fps: float = 20.0,
        password: str | None = None,
        clock_ahead_s: float | None = 0.0,
        picture: Callable[[int, tuple[int, int]], NDArray[np.uint8]] = grey,
        basic: bool = False,
        turned: int = 0,
    ) -> None:
        """``clock_ahead_s``: of its sender reports; None: it sends none. ``basic``: instead of digest access.

        ``turned``: by how many degrees, against the clock, the stream says that its H.264 is to be turned.
        """
        self.codec, self.size, self.fps = codec, size, fps
        self.password, self.clock_ahead_s, self.basic, self.turned = password, clock_ahead_s, basic, turned
        self.silent = False
        self.connections = self.refused = self.frames = 0
        self.transports: list[str] = []
        self._picture = picture
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._port = 0

    @property
    def address(self) -> str:
        return f"rtsp://127.0.0.1:{self._port}/live"

    def with_password(self, password: str) -> str:
        return f"rtsp://viewer:{password}@127.0.0.1:{self._port}/live"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self._port), reuse_port=False)
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Go away: nobody answers at the port any more."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Break every connection."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        playing = threading.Event()
        with suppress(OSError), connection, connection.makefile("rb") as requests:
            while (request := _read(requests)) is not None:
                if request:
                    self._answer(connection, request, playing)
        playing.clear()
        self._open.discard(connection)

    def _answer(self, connection: socket.socket, request: list[str], playing: threading.Event) -> None:
        method, where, _ = request[0].split(" ", 2)
        headers = {
            key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in request[1:])
        }
        status, more, body = "200 OK", "", ""
        if method == "OPTIONS":
            more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n"
        elif not self._may(method, where, headers.get("authorization", "")):
            self.refused += "authorization" in headers
            how = 'Basic realm="camera"' if self.basic else f'Digest realm="camera", nonce="{_NONCE}"'
            status, more = "401 Unauthorized", f"WWW-Authenticate: {how}\r\n"
        elif method == "DESCRIBE":
            name = _NAMES[self.codec]
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
                f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {name}/{_RTP_HZ}\r\na=control:track1\r\n"
            )
            if name == "H264":
                body += "a=fmtp:96 packetization-mode=1\r\n"
            more = f"Content-Base: {where}/\r\nContent-Type: application/sdp\r\n"
        elif method == "SETUP":
            self.transports.append(headers["transport"])
            if "RTP/AVP/TCP" in headers["transport"]:
                more = "Session: 1;timeout=60\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            else:
                status = "461 Unsupported transport"
        elif method == "PLAY":
            more = "Session: 1\r\nRange: npt=0.000-\r\n"
        sequence = headers.get("cseq", "0")
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: {sequence}\r\n{more}{length}\r\n{body}".encode())
        if method == "PLAY":
            playing.set()
            self.connections += 1
            threading.Thread(target=self._stream, args=(connection, playing), daemon=True).start()

    def _may(self, method: str, where: str, authorization: str) -> bool:
        """Whether a request has the password; RFC 2617 without ``qop``, as most cameras have it."""
        if self.password is None:
            return True
        if self.basic:
            import base64

            return authorization == f"Basic {base64.b64encode(f'viewer:{self.password}'.encode()).decode()}"
        given = re.search(r'response="([0-9a-f]{32})"', authorization)
        named = re.search(r'uri="([^"]*)"', authorization)
        first, second = f"viewer:camera:{self.password}", f"{method}:{named[1] if named else where}"
        wanted = _md5(f"{_md5(first)}:{_NONCE}:{_md5(second)}")
        return given is not None and given[1] == wanted

    def _stream(self, connection: socket.socket, playing: threading.Event) -> None:
        sequence, began, due = 0, time.time(), time.monotonic()
        made: tuple[tuple[int, int], _Encoder] | None = None
        reported = 0.0
        with suppress(OSError):
            while playing.is_set():
                if self.silent:
                    time.sleep(0.02)
                    due = time.monotonic()
                    continue
                if made is None or made[0] != self.size:
                    made = self.size, _Encoder(self.codec, self.size, self.fps, self.turned)
                now = time.time()
                stamp = int((now - began) * _RTP_HZ) & 0xFFFFFFFF
                if self.clock_ahead_s is not None and now - reported > 0.5:
                    connection.sendall(_interleaved(1, _report(now + self.clock_ahead_s, stamp)))
                    reported = now
                for packet in made[1].packets(self._picture(self.frames, self.size)):
                    head = packet[:2] + struct.pack(">HII", sequence & 0xFFFF, stamp, 7)
                    connection.sendall(_interleaved(0, head + packet[12:]))
                    sequence += 1
                self.frames += 1
                due = max(due + 1 / self.fps, time.monotonic() - 1)
                time.sleep(max(0.0, due - time.monotonic()))


class _Encoder:
    """Pictures to RTP packets."""

    def __init__(self, codec: str, size: tuple[int, int], fps: float, turned: int) -> None:
        self._written: list[bytes] = []
        self._output: Any = av.open(self, "w", format="rtp", buffer_size=_PACKET_BYTES)
        self._stream = self._output.add_stream(codec, rate=round(fps), options=_OPTIONS[codec])
        self._stream.width, self._stream.height, self._stream.pix_fmt = *size, "yuv420p"
        self._stream.gop_size = 5
        self._turning: Any = None
        if turned:
            described = f"h264_metadata=display_orientation=insert:rotate={turned}"
            self._turning = BitStreamFilterContext(described, self._stream)

    def write(self, data: bytes) -> int:
        """Take one RTP packet, or a sender report, which the server makes itself."""
        if not 200 <= data[1] <= 204:
            self._written.append(bytes(data))
        return len(data)

    def packets(self, picture: NDArray[np.uint8]) -> list[bytes]:
        """The packets of one picture."""
        self._written.clear()
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        for packet in self._stream.encode(frame):
            for one in [packet] if self._turning is None else self._turning.filter(packet):
                self._output.mux(one)
        return list(self._written)


def _read(requests: Any) -> list[str] | None:
    """The lines of one request; none of a packet that the reader of the stream sends, None at the end."""
    first = requests.read(1)
    if not first:
        return None
    if first == b"$":
        _, length = struct.unpack(">BH", requests.read(3))
        requests.read(length)
        return []
    lines = [(first + requests.readline()).decode().strip()]
    while line := requests.readline().decode().strip():
        lines.append(line)
    return lines


def _interleaved(channel: int, data: bytes) -> bytes:
    return b"$" + struct.pack(">BH", channel, len(data)) + data


def _report(seconds: float, stamp: int) -> bytes:
    """A sender report (RFC 3550, 6.4.1) that says when the frame of an RTP time stamp was taken."""
    whole = int(seconds)
    return struct.pack(">BBHIIIIII", 0x80, 200, 6, 7, whole + _NTP_1970_S, int((seconds - whole) * 2**32), stamp, 0, 0)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
