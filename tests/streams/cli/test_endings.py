"""How commands end: by Ctrl-C, by a closed terminal, and not by one under nohup."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.streams.cli.conftest import TIMEOUT_S, command, run


@pytest.fixture(scope="module", autouse=True)
def topics(cluster: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The topics of these tests, without workers."""
    created = run(("topics", "create"), cluster, tmp_path_factory.mktemp("topics"))
    assert created.code == 0, created.err


@pytest.mark.parametrize("arguments", [("play", "PICTURES", "--loop", "--fps", "50", "--json"), ("watch",)])
def test_ctrl_c_ends_it_cleanly(
    arguments: tuple[str, ...], cluster: dict[str, str], pictures: Path, tmp_path: Path
) -> None:
    called = command(*(str(pictures) if one == "PICTURES" else one for one in arguments))
    process = subprocess.Popen(
        called, env=cluster, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert "Traceback" not in err
    if arguments[0] == "play":
        result = json.loads(out)
        assert result["sent"] == result["delivered"] > 0


@pytest.mark.parametrize(
    "arguments", [("watch",), ("worker", "embed", "--embedder", "digest")], ids=["watch", "worker"]
)
def test_a_closed_terminal_ends_it_cleanly(arguments: tuple[str, ...], cluster: dict[str, str], tmp_path: Path) -> None:
    terminal, inside = os.openpty()
    process = subprocess.Popen(
        command(*arguments),
        env=cluster,
        cwd=tmp_path,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        preexec_fn=lambda: os.login_tty(inside),
    )
    os.close(inside)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(8)
    os.close(terminal)
    assert process.wait(TIMEOUT_S) == (143 if arguments[0] == "watch" else 0)


def test_nohup_outlives_the_terminal(cluster: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        ["nohup", *command("watch")], env=cluster, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for number in (signal.SIGHUP, signal.SIGTERM):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        process.send_signal(number)
    assert process.wait(TIMEOUT_S) == 143
