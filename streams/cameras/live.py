"""What every live camera gives, and the cameras of this machine."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from schemas.clock import utc_now
from streams.cameras.captures import SourceError, opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """One decoded picture of a live camera. It is converted only if somebody wants it.

    Attributes:
        arrived_at: when it was there, by this machine's clock.
        pixels: gives it as uint8 BGR, (height, width, 3).
        camera_time: when it was taken by the camera's own clock, where the camera says so.
    """

    arrived_at: datetime
    pixels: Callable[[], NDArray[np.uint8]]
    camera_time: datetime | None = None


class LiveSource(Protocol):
    """A camera that shows what is now."""

    @property
    def name(self) -> str:
        """What to call it in messages; never with a password."""

    @property
    def reconnects(self) -> bool:
        """Whether it is expected to come back after it has gone."""

    def frames(self) -> Generator[LiveFrame, None, None]:
        """The frames of one connection, until it breaks.

        Raises:
            SourceError: it cannot be opened. :class:`AccessDenied`: it does not accept the password.
        """


class AccessDenied(SourceError):
    """A camera does not accept user or password, or wants some."""


@dataclass(frozen=True, slots=True)
class LocalCamera:
    """A camera of this machine, by its number."""

    number: int
    reconnects: bool = False

    @property
    def name(self) -> str:
        """Such as ``camera 0``."""
        return f"camera {self.number}"

    def frames(self) -> Generator[LiveFrame, None, None]:
        """Frames as they come, until the camera is unplugged."""
        capture = opened(self.number, f"{self.name} cannot be opened: is it plugged in, and in use elsewhere?")
        try:
            while True:
                there, pixels = capture.read()
                if not there:
                    return
                yield LiveFrame(utc_now(), lambda pixels=pixels: pixels)  # type: ignore[misc]
        finally:
            capture.release()
