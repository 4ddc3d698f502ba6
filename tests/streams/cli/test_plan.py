"""``facestream plan``, without any service."""

from __future__ import annotations

from tests.streams.cli.conftest import Run

WISH = ("plan", "--cameras", "500", "--fps", "2", "--subjects", "2e6", "--retention-days", "7")


def test_a_plan_is_printed_with_what_it_rests_on(offline: Run) -> None:
    ended = offline(*WISH, "--json")
    assert ended.code == 0
    found = ended.json
    assert found["possible"] is True
    assert found["demand"]["subjects"] == 2e6
    assert set(found["workers"]) == {"embed", "match", "sink-redis", "sink-bigquery"}
    assert found["limits_first"] == found["limits"][0]["part"]
    assert found["ten_times"]["frames_per_s"] == 10 * found["frames_per_s"]
    assert [row["workers"] for row in found["scaling"]] == [1, 2, 4]
    assert all(origin["date"] for origin in found["measured"].values())
    assert found["assumptions"]


def test_people_see_limits_and_scaling(offline: Run) -> None:
    out = offline(*WISH).out
    for words in ("partitions", "what limits it", "ten times as large", "workers of each role"):
        assert words in out


def test_an_impossible_demand_is_explained(offline: Run) -> None:
    ended = offline("plan", "--cameras", "5000", "--fps", "10", "--subjects", "100", "--users", "1", "--json")
    assert ended.code == 1
    assert ended.json["possible"] is False
    assert "impossible: The frames of one user go to one partition" in ended.err
