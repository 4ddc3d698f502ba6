"""Nothing lost, nothing twice: the faults that take seconds. ``facestream bench faults`` injects all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streams.devtools.benchmarks.faults import FAULTS, measure
from tests.prepared_tables import with_tables

QUICK = [
    "sigkill both sinks",
    "sigkill kafka",
    "disk lost",
    "poison on every topic",
    "sigkill embed and match in a bulk",
    "sigkill match and search in searches",
]
LONG = [
    "sigkill embed and match",
    "sigstop and sigcont match",
    "sigterm embed",
    "redis restarted empty",
    "sigstop and sigcont search in searches",
    "sigkill kafka in searches",
]


SCRIPT = """
import json, sys
from pathlib import Path
from streams.devtools.benchmarks.faults import measure
print(json.dumps(list(measure(Path(sys.argv[1]), ["disk full"], 40.0, print))))
"""


def test_the_quick_faults_exist() -> None:
    assert {fault.name for fault in FAULTS} >= {*QUICK, *LONG}


@pytest.mark.long
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """On a small file system, filled to the last byte, where this user may mount one; else it only reads as full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mounted = 'mount -t tmpfs -o size=320m small "$0" && '
    if subprocess.run([*mount, mounted + "true", folder], check=False).returncode == 0:
        command = [*mount, mounted + 'exec "$1" -c "$2" "$0"', folder, sys.executable, SCRIPT]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=900, check=True)
        print(ended.stdout)
        rows = json.loads(ended.stdout.splitlines()[-1])
    else:
        rows = list(measure(folder, ["disk full"], 40.0, print))
    [row] = rows
    assert row["events"] > 200 and row["lost"] == row["duplicates"] == 0, row


@pytest.mark.parametrize("faults", [QUICK, pytest.param(LONG, marks=pytest.mark.long)], ids=["quick", "long"])
def test_no_event_is_lost_or_doubled(tmp_path: Path, faults: list[str]) -> None:
    with_tables(tmp_path / "stack-0")
    rows = []
    for row in measure(tmp_path, faults, 60.0, print):
        print(row)
        rows.append(row)
    assert [row.get("fault") for row in rows] == [fault.name for fault in FAULTS if fault.name in faults], rows
    assert all(row["events"] > 200 for row in rows), rows
    assert [row for row in rows if row["lost"] or row["duplicates"]] == []
    searched = [row for row in rows if "searches" in row]
    assert all(row["searches"] > 50 for row in searched) and searched, rows
    assert [row for row in searched if row["incomplete"] or row["wrong"]] == []
