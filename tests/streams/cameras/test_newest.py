"""Back-off and pace; reading itself is tested with a server in ``test_network.py``."""

from __future__ import annotations

import pytest

from streams.cameras.live import AccessDenied
from streams.cameras.newest import Backoff
from streams.cameras.pace import Pace


def test_waits_grow_to_a_limit_and_begin_anew() -> None:
    backoff = Backoff(5, vary=lambda: 1.0)
    assert [backoff.wait_s(None) for _ in range(6)] == [0.5, 1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.wait_s(None) == 0.5


def test_waits_vary_and_are_never_nothing() -> None:
    waits = {Backoff().wait_s(None) for _ in range(50)}
    assert len(waits) > 10
    assert min(waits) >= 0.25
    assert max(waits) <= 0.5


def test_a_wrong_password_waits_longest_at_once() -> None:
    assert Backoff(30).wait_s(AccessDenied("no")) == 30


@pytest.mark.parametrize(
    ("source_fps", "fps", "taken"),
    [(20, 5, 50), (30, 7, 70), (10, 10, 100), (5, 10, 50), (25, 0, 250), (25, None, 250)],
)
def test_the_rate_is_right_on_the_average(source_fps: int, fps: float | None, taken: int) -> None:
    pace = Pace(fps)
    count = sum(pace.is_due(1_000 + at / source_fps + (at % 3) * 0.002) for at in range(10 * source_fps))
    assert abs(count - taken) <= 2


def test_there_is_no_burst_after_a_pause() -> None:
    pace = Pace(2)
    assert pace.is_due(100)
    assert [pace.is_due(200 + at / 20) for at in range(20)].count(True) <= 3
