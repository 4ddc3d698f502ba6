"""Cameras behind an address, read over RTSP inside one TCP connection. Needs PyAV (the extra ``camera``).

OpenCV reads RTSP too, but tells neither the camera's clock nor why a camera does not answer.
"""

from __future__ import annotations

import re
import struct
from collections import OrderedDict
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from schemas.clock import utc_now
from streams.cameras.captures import SourceError
from streams.cameras.live import AccessDenied, LiveFrame

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.video.reformatter import VideoReformatter
    from numpy.typing import NDArray

_OPEN_S, _READ_S = 5.0, 5.0
_OPTIONS = {
    # UDP loses packets, which are grey blocks in the picture, and does not pass most firewalls.
    "rtsp_transport": "tcp",
    "allowed_media_types": "video",
    "fflags": "nobuffer",
    "flags": "low_delay",
    # Nobody needs the rate beforehand; waiting for 20 frames costs a slow camera 20 seconds.
    "fpsprobesize": "0",
}
_SECRET = re.compile(r"((?:user|username|login|pass|password|passwd|pwd|token|key|auth)=)[^&/;]*", re.IGNORECASE)
_TIMES_KEPT = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class NetworkCamera:
    """A camera behind an ``rtsp://`` or ``rtsps://`` address."""

    address: str = field(repr=False)
    reconnects: bool = True

    def __post_init__(self) -> None:
        """Have whoever opens it hear at once that PyAV is missing, not the thread that reads it."""
        import av  # noqa: F401

    @property
    def name(self) -> str:
        """The address without user and password, wherever in it they are."""
        return _SECRET.sub(r"\1…", re.sub("//.*@", "//", self.address))

    def frames(self) -> Generator[LiveFrame, None, None]:
        """Frames as they come, until the connection breaks or is silent for some seconds."""
        import av
        from av.video.reformatter import VideoReformatter

        with closing(self._open()) as container:
            if not container.streams.video:
                raise SourceError(f"{self.name} shows no picture: it has no video stream")
            stream = container.streams.video[0]
            # More threads would hold frames back, and a machine has more cameras than cores.
            stream.codec_context.thread_count = 1
            times: OrderedDict[int | None, datetime] = OrderedDict()
            turned = 0
            converter = VideoReformatter()
            try:
                for packet in container.demux(stream):
                    if (at := _camera_time(packet)) is not None:
                        times[packet.pts] = at
                        if len(times) > _TIMES_KEPT:
                            times.popitem(last=False)
                    for frame in _decoded(packet):
                        # Said with some frames only, and true for the rest of the connection. The frame's `side_data`
                        # would say more, but refers back to the frame, whose megabytes would wait for a collection.
                        turned = frame.rotation or turned
                        yield LiveFrame(
                            utc_now(), partial(_pixels, converter, frame, turned), times.pop(frame.pts, None)
                        )
            except (av.FFmpegError, OSError):
                return

    def _open(self) -> Any:
        """Connect.

        Raises:
            SourceError: nothing can be seen there. FFmpeg's own message is left out: it has the password.
        """
        import av

        av.logging.set_level(None)
        try:
            return av.open(self.address, options=_OPTIONS, timeout=(_OPEN_S, _READ_S))
        except (av.HTTPUnauthorizedError, av.HTTPForbiddenError):
            raise AccessDenied(f"{self.name} does not accept user and password, or wants some") from None
        except av.HTTPNotFoundError:
            raise SourceError(f"there is a camera at {self.name}, but no stream of this path") from None
        except av.InvalidDataError:
            raise SourceError(f"{self.name} does not answer, or not as a camera does") from None
        except (av.FFmpegError, OSError) as error:
            why = (error.strerror or "").lower()
            raise SourceError(f"nothing can be seen at {self.name}{f': {why}' if why else ''}") from None


def _decoded(packet: av.Packet[Any]) -> list[av.VideoFrame]:
    """The frames that a packet completes; none where it is damaged, or refers to one that was lost."""
    import av

    try:
        return list(packet.decode())
    except av.InvalidDataError:
        return []


def _camera_time(packet: av.Packet[Any]) -> datetime | None:
    """When a packet was made by the camera's clock, which FFmpeg finds with RTCP's sender reports (RFC 3550, 6.4.1)."""
    if not packet.has_sidedata("prft"):
        return None
    # AVProducerReferenceTime: microseconds since 1970 as int64, then flags.
    (micros,) = struct.unpack_from("=q", bytes(packet.get_sidedata("prft")))
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return None


def _pixels(converter: VideoReformatter, frame: av.VideoFrame, turned: int) -> NDArray[np.uint8]:
    """The picture, turned by so many degrees against the clock."""
    import numpy as np

    # By itself a frame makes threads for its conversion, and ends them, each time.
    pixels = converter.reformat(frame, format="bgr24", threads=1).to_ndarray().astype(np.uint8, copy=False)
    # Cameras know quarter turns only.
    return np.ascontiguousarray(np.rot90(pixels, round(turned / 90))) if turned else pixels
