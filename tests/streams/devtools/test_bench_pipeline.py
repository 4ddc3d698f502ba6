"""What is pure in the pipeline's benchmark: the account of processor time, files' sizes, and the table."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from streams.cli.bench_tables import pipeline_table
from streams.cli.console import Output
from streams.devtools.benchmarks import cpu
from streams.devtools.benchmarks.volume import log_bytes


def test_the_processor_time_of_a_frame_is_of_the_time_between() -> None:
    before = {"embed": 1.0, "match": 2.0, "sink-redis": 0.5, "sink-bigquery": 0.0}
    after = {"embed": 3.0, "match": 2.5, "sink-redis": 0.6, "sink-bigquery": 0.2, "kafka": 1.0}
    each = cpu.ms_each(before, after, 100)
    assert each == {"embed": 20.0, "match": 5.0, "sink-redis": 1.0, "sink-bigquery": 2.0, "kafka": 10.0}
    assert cpu.of_workers(each) == 28.0


def test_the_median_of_rounds_is_taken_part_by_part() -> None:
    rounds = [{"embed": 1.0, "match": 9.0}, {"embed": 3.0, "match": 8.0}, {"embed": 2.0, "match": 70.0}]
    assert cpu.medians(rounds) == {"embed": 2.0, "match": 9.0}


def test_parts_are_roles_and_services(monkeypatch: pytest.MonkeyPatch) -> None:
    pids = {"embed-0": 1, "embed-1": 2, "match-0": 3, "sink-redis-0": 4, "sink-bigquery-0": 5, "kafka": 6, "redis": 7}

    class Process:
        """Of 10 s for the process of id 1, 20 s for that of id 2, and so on, of which a tenth in a child."""

        def __init__(self, pid: int, share: float = 9.0) -> None:
            self.pid, self._share = pid, share

        def children(self, recursive: bool) -> list[Process]:
            return [Process(self.pid, 1.0)]

        def cpu_times(self) -> tuple[float, ...]:
            return self.pid * self._share - 0.25, 0.25, 99.0, 99.0

    monkeypatch.setattr(psutil, "Process", Process)
    stack: Any = SimpleNamespace(services=SimpleNamespace(supervisor=SimpleNamespace(running=lambda: pids)))
    used = cpu.cpu_by_part(stack)
    assert used.pop(cpu.PRODUCER) > 0
    services = {"kafka": 60.0, "redis": 70.0}
    assert used == {"embed": 30.0, "match": 30.0, "sink-redis": 40.0, "sink-bigquery": 50.0} | services


def test_the_files_of_a_topic_are_counted_together(tmp_path: Path) -> None:
    for partition, size in {"frames-0": 10, "frames-11": 20, "dead-letters-0": 5}.items():
        (tmp_path / partition).mkdir()
        (tmp_path / partition / "00000000000000000000.log").write_bytes(bytes(size))
        (tmp_path / partition / "00000000000000000000.index").write_bytes(bytes(99))
    assert log_bytes(tmp_path) == {"frames": 30, "dead-letters": 5}


FOUND = {
    "frames_per_s": 40.0,
    "bare_loop_frames_per_s": 60.0,
    "bare_loop_cpu_ms": 15.0,
    "workers_cpu_ms": 22.0,
    "overhead_cpu_ms": 7.0,
    "cpu_ms_per_frame": {"embed": 18.0, "kafka": 6.0},
    "lost": 0,
    "duplicates": 0,
}


def test_the_costs_are_shown_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    pipeline_table(FOUND, Output(False))
    out = capsys.readouterr().out
    assert ["embed", "18.0"] in [line.split() for line in out.splitlines()]
    assert "workers 22.0, 7.0 more than the bare loop's 15.0" in out
    assert "times as much" not in out


def test_those_at_a_low_rate_stand_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    slow = {"rate_fps": 5.0, "ratio": 2.5, "cpu_ms_per_frame": {"embed": 50.0, "kafka": 20.0}}
    pipeline_table(FOUND | {"at_rate": slow}, Output(False))
    out = capsys.readouterr().out
    assert ["embed", "18.0", "50.0"] in [line.split() for line in out.splitlines()]
    assert "at 5 a second 2.5 times as much" in out
