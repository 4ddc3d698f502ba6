"""The size of a cluster, with parts of round numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streams.operations.sizing.parts import measured
from streams.operations.sizing.plan import plan, ten_times
from tests.streams.operations.sizing.examples import PARTS, demand


def test_workers_have_the_processors_that_frames_need() -> None:
    found = plan(demand(), PARTS)
    assert not found.impossible
    # 1,000 frames a second of 20 ms are 20 processors; at 60 % of two a worker that is 17 workers, and more where
    # the hash gives one worker more users than another.
    embed = found.workers["embed"]
    assert 17 <= embed.count <= 25
    assert embed.load == pytest.approx(20 / (embed.count * 2), abs=0.01)
    assert found.partitions == 64
    assert found.workers["sink-redis"].count < embed.count


def test_galleries_lie_in_memory_twice() -> None:
    found = plan(demand(), PARTS)
    assert found.gallery_gib == pytest.approx(2 * 2e6 * 1024 / 2**30, abs=0.01)
    assert plan(demand(standbys=0), PARTS).gallery_gib == pytest.approx(found.gallery_gib / 2, abs=0.01)
    small = plan(demand(worker_gib=1.0), PARTS)
    assert small.workers["match"].count > found.workers["match"].count
    assert small.workers["match"].memory_gib <= 0.8


def test_kafka_keeps_every_replica_for_the_retention() -> None:
    found = plan(demand(), PARTS).kafka
    assert found.write_mb_per_s == pytest.approx(1000 * 0.053)
    assert found.read_mb_per_s == pytest.approx(1000 * (0.05 + 2 * 0.002 + 3 * 0.001))
    week = 1000 * 53_000 * 7 * 86_400
    assert found.disk_tb == pytest.approx(3 * (week + 2e6 * 800) / 1e12, rel=0.001)
    assert plan(demand(retention_days=1.0), PARTS).kafka.disk_tb < found.disk_tb / 6


def test_redis_keeps_answers_for_a_day_and_the_live_streams() -> None:
    found = plan(demand(), PARTS)
    assert found.redis_gib == pytest.approx((1000 * 86_400 * 2_000 + 500 * 1_000 * 2_000) / 2**30, abs=0.01)
    assert plan(demand(result_ttl_s=3_600), PARTS).redis_gib < found.redis_gib / 20


def test_bigquery_gets_a_row_a_frame() -> None:
    rows = plan(demand(), PARTS).bigquery
    assert rows.rows_per_day == 86_400_000
    assert rows.gb_per_day == pytest.approx(60.48)
    assert rows.gb_in_retention == pytest.approx(423.4)


def test_the_nearest_limit_comes_first() -> None:
    limits = plan(demand(), PARTS).limits
    assert limits[0].times == min(one.times for one in limits)
    assert limits[0].part.startswith("processors of")
    assert all(one.times >= 1 for one in limits)
    # With few users, one user's frames are it.
    few = plan(demand(cameras=40, users=20, subjects=1000), PARTS)
    by_part = {one.part: one.times for one in few.limits}
    assert by_part["the frames of one user"] == pytest.approx(2 / (80 * 0.020 / 20), rel=0.01)


def test_the_search_in_large_galleries_takes_time_and_processors() -> None:
    small, large = (plan(demand(users=1, cameras=2, fps=1, subjects=n), PARTS) for n in (1_000, 2_000_000))
    assert large.latency.search_ms == pytest.approx(60.0)
    assert large.latency.p50_ms - small.latency.p50_ms == pytest.approx(60.0, abs=1)


def test_answers_that_are_wanted_sooner_take_more_workers() -> None:
    usual = plan(demand(), PARTS)
    assert usual.latency.p99_ms > 200
    quick = plan(demand(p99_ms=210), PARTS)
    assert not quick.impossible
    assert quick.workers["embed"].count > usual.workers["embed"].count
    assert quick.latency.p99_ms < usual.latency.p99_ms


def test_ten_times_as_large_is_the_plan_of_ten_times_the_demand() -> None:
    larger = ten_times(demand(), PARTS)
    same = plan(demand(cameras=5_000, subjects=2e7, users=5_000), PARTS)
    assert larger == same
    assert larger.partitions > plan(demand(), PARTS).partitions


def test_a_user_with_more_frames_than_a_worker_can_do_is_impossible() -> None:
    found = plan(demand(users=1, subjects=1_000), PARTS)
    [why] = found.impossible
    assert found.workers["embed"].count == 17
    assert "one user" in why
    # 20 processors, of which a worker gives 1.2: 17 users.
    assert "over 17 users or more" in why
    assert not plan(demand(users=60, cameras=60, subjects=1_000), PARTS).impossible


def test_a_gallery_that_no_worker_can_hold_is_impossible() -> None:
    [why] = plan(
        demand(users=1, cameras=1, subjects=1e7, worker_gib=4.0), replace(PARTS, search_ms_per_million=0)
    ).impossible
    assert "9.5 GiB for 10,000,000 templates" in why


def test_a_worker_without_room_for_a_template_is_impossible() -> None:
    [why] = plan(demand(worker_gib=0.5), PARTS).impossible
    assert "before it has a template" in why


def test_more_answers_than_one_redis_takes_are_impossible() -> None:
    found = plan(demand(cameras=5_000, users=5_000), PARTS)
    [why] = found.impossible
    assert "among 2 installations" in why
    assert found.limits[0].part == "the processor of Redis"


def test_more_workers_than_partitions_are_impossible() -> None:
    found = plan(demand(cameras=100_000, users=100_000), replace(PARTS, cpu_ms={**PARTS.cpu_ms, "redis": 0.001}))
    assert found.partitions == 1024
    assert any(why.startswith("embed needs 3") for why in found.impossible)


def test_answers_sooner_than_ever_measured_are_impossible() -> None:
    [why] = plan(demand(p99_ms=50), PARTS).impossible
    assert "within 50 ms" in why
    assert "200 ms" in why


def test_the_kept_figures_are_whole_and_say_where_they_come_from() -> None:
    parts, origins = measured()
    assert all(origin.source and origin.date and origin.machine for origin in origins.values())
    assert set(origins) == set(parts.__slots__)
    assert not plan(demand(), parts).impossible
