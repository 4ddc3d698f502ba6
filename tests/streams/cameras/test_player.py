"""What becomes of a source's frames: sent, refused, dropped to keep up, or unreadable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import pytest

from schemas.reasons import Reason
from streams.cameras.player import FrameCounts, play
from streams.cameras.sources import CapturedFrame, UnreadableFrames
from streams.client.delivery_report import DeliveryHandle
from streams.client.errors import BackPressure, DeliveryFailed, InvalidPicture


class Camera:
    """Sends frames to nowhere; pictures ``bad`` and ``full`` are not taken."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, float | None]] = []
        self.warnings: list[str] = []
        self.counts = FrameCounts(self.warnings.append)
        self.progress = 0

    def send(self, picture: bytes, /, *, captured_at: datetime | None, timeout_s: float | None) -> None:
        if picture == b"bad":
            raise InvalidPicture(Reason.UNDECODABLE, "no picture")
        if picture == b"full":
            raise BackPressure("no room")
        self.sent.append((picture, timeout_s))

    def _advance(self) -> None:
        self.progress += 1

    def play(self, *pictures: bytes | UnreadableFrames, live: bool = False, limit: int | None = None) -> None:
        shots = [one if isinstance(one, UnreadableFrames) else CapturedFrame("shot", one) for one in pictures]
        play(shots, self.send, self.counts, live=live, limit=limit, progress=self._advance)

    def counted(self) -> dict[str, int]:
        return {word: count for word, count in self.counts.counts.items() if count}


def test_every_picture_is_sent_and_waits_for_room() -> None:
    camera = Camera()
    camera.play(b"1", b"2")
    assert camera.sent == [(b"1", None), (b"2", None)]
    assert (camera.counted(), camera.progress, camera.counts.is_bad) == ({"sent": 2}, 2, False)


def test_one_bad_picture_does_not_end_it() -> None:
    camera = Camera()
    camera.play(b"1", b"bad", UnreadableFrames(3, "three are broken"), b"2")
    assert camera.counted() == {"sent": 2, "refused": 1, "unreadable": 3}
    assert camera.warnings == ["shot: no picture", "three are broken"]
    assert (camera.counts.troubles, camera.counts.is_bad) == ("1 refused, 3 unreadable", True)


def test_a_live_camera_drops_what_finds_no_room() -> None:
    camera = Camera()
    camera.play(b"1", b"full", b"2", live=True)
    assert camera.sent == [(b"1", 0), (b"2", 0)]
    assert (camera.counted(), camera.counts.is_bad) == ({"sent": 2, "dropped": 1}, False)


def test_another_source_fails_where_there_is_no_room() -> None:
    camera = Camera()
    with pytest.raises(BackPressure):
        camera.play(b"1", b"full", b"2")
    assert camera.counted() == {"sent": 1}


@pytest.mark.parametrize(("limit", "sent"), [(1, 1), (2, 2), (9, 3), (None, 3)])
def test_the_limit_counts_frames_and_not_what_cannot_be_read(limit: int | None, sent: int) -> None:
    camera = Camera()
    camera.play(UnreadableFrames(5, "broken"), b"1", b"2", b"3", limit=limit)
    assert camera.counted()["sent"] == sent


def _reports(*outcomes: Callable[[DeliveryHandle], None]) -> Sequence[DeliveryHandle]:
    made = []
    for settle in outcomes:
        sent = DeliveryHandle("event", "ursula", "frames")
        settle(sent)
        made.append(sent)
    return made


def test_the_first_failed_delivery_is_told() -> None:
    camera = Camera()
    good = lambda sent: sent.future.set_result(None)  # noqa: E731
    bad = lambda sent: sent.future.set_exception(DeliveryFailed("the broker is away", []))  # noqa: E731
    for sent in _reports(good, bad, bad):
        camera.counts.report(sent)
    assert camera.counted() == {"delivered": 1, "failed": 2}
    assert camera.warnings == ["the broker is away"]
