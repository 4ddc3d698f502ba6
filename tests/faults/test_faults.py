"""Nothing lost, nothing twice: the faults that take seconds. ``facestream bench faults`` injects all of them."""

from pathlib import Path

from streams.cli.benchmarks.faults import FAULTS, measure

QUICK = [
    "sigkill embed and match",
    "sigkill both sinks",
    "sigstop and sigcont match",
    "sigterm embed",
    "sigkill kafka",
    "redis restarted empty",
    "disk lost",
    "poison on every topic",
]


def test_the_quick_faults_exist() -> None:
    assert {fault.name for fault in FAULTS} >= set(QUICK)


def test_no_event_is_lost_or_doubled(tmp_path: Path) -> None:
    rows = []
    for row in measure(tmp_path, QUICK, 60.0, print):
        print(row)
        rows.append(row)
    assert [row.get("fault") for row in rows] == [fault.name for fault in FAULTS if fault.name in QUICK], rows
    assert all(row["events"] > 200 for row in rows), rows
    assert [row for row in rows if row["lost"] or row["duplicates"]] == []
