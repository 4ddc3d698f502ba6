"""The simulation of workers."""

from __future__ import annotations

import numpy as np
import pytest

from streams.operations.sizing import scaling
from tests.streams.operations.sizing.examples import PARTS


def test_frames_that_wait_are_taken_in_full_batches() -> None:
    done = scaling.served(np.zeros(64), batch_ms=10, frame_ms=1, wait_ms=5)
    assert set(done) == {42.0, 84.0}


def test_a_lonely_frame_waits_for_others_only_so_long() -> None:
    assert list(scaling.served([0.0, 1000.0], batch_ms=10, frame_ms=1, wait_ms=5)) == [16.0, 1016.0]


def test_what_comes_while_a_batch_is_done_is_the_next_one() -> None:
    assert list(scaling.served([0.0, 6.0, 7.0], batch_ms=10, frame_ms=1, wait_ms=5)) == [16.0, 28.0, 28.0]


def test_one_worker_does_what_its_slowest_stage_does() -> None:
    # Full batches of embed cost 20 ms a frame, on two processors, and 20 ms more for the batch.
    assert PARTS.batch_ms("embed") == pytest.approx(50 - 10 - 20)
    assert scaling.backlog_fps(PARTS, 64, 1, 2) == pytest.approx(1000 / (20 / 2 + 20 / 32), rel=0.01)


def test_more_workers_do_more_but_not_more_than_their_number() -> None:
    one, two, four = scaling.table(PARTS, 64, 2)
    assert (one.workers, two.workers, four.workers) == scaling.WORKERS
    assert one.times_one == 1
    assert 1.7 < two.times_one <= 2
    assert 3.2 < four.times_one <= 4
    assert one.p50_ms < one.p99_ms


def test_workers_beyond_the_partitions_do_nothing() -> None:
    assert scaling.backlog_fps(PARTS, 1, 4, 2) == pytest.approx(scaling.backlog_fps(PARTS, 1, 1, 2), rel=0.02)


def test_latency_grows_with_the_load() -> None:
    rate = scaling.backlog_fps(PARTS, 64, 1, 2)
    (low, _), (high, _) = (scaling.latencies_ms(PARTS, 64, 1, 2, share * rate) for share in (0.3, 0.9))
    assert high > 1.3 * low


def test_few_users_are_spread_unevenly() -> None:
    assert scaling.imbalance(1, 64, 4) == 4
    assert 1 <= scaling.imbalance(5_000, 64, 4) < 1.1
