"""How commands end: by Ctrl-C, by a closed terminal, and not by one under nohup."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import describe_group, group_id
from streams.kafka.messages import TopicPartition
from streams.kafka.offsets import appended_offsets
from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings
from tests.streams.cli.conftest import TIMEOUT_S, command, run
from tests.waiting import wait_until

LISTENING = b"listening; Ctrl-C ends"


def settings_of(cluster: dict[str, str]) -> Settings:
    return Settings(kafka=cluster["FACESTREAM_KAFKA"], topic_prefix=cluster["FACESTREAM_TOPIC_PREFIX"], partitions=2)


def frames(cluster: dict[str, str]) -> int:
    """How many frames have been sent."""
    settings = settings_of(cluster)
    partitions = [TopicPartition(Topic.FRAMES.named(settings), one) for one in range(settings.partitions)]
    return sum(appended_offsets(admin_client(settings), partitions).values())


def owned(cluster: dict[str, str]) -> bool:
    """Whether a worker has its partitions."""
    settings = settings_of(cluster)
    group = describe_group(admin_client(settings), group_id(Role.EMBED, settings))
    return group.settled and group.owned(Topic.FRAMES.named(settings)) == {0, 1}


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
    with (tmp_path / "err").open("w") as log:
        process = subprocess.Popen(called, env=cluster, cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True)
    wait_until(lambda: frames(cluster) if arguments[0] == "play" else LISTENING in (tmp_path / "err").read_bytes())
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=TIMEOUT_S)
    err = (tmp_path / "err").read_text()
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
    if arguments[0] == "watch":
        told = b""
        while LISTENING not in told:
            told += os.read(terminal, 1_000)
    else:
        wait_until(lambda: owned(cluster))
    os.close(terminal)
    assert process.wait(TIMEOUT_S) == (143 if arguments[0] == "watch" else 0)


def test_nohup_outlives_the_terminal(cluster: dict[str, str], tmp_path: Path) -> None:
    with (tmp_path / "err").open("w") as log:
        process = subprocess.Popen(
            ["nohup", *command("watch")], env=cluster, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=log
        )
    wait_until(lambda: LISTENING in (tmp_path / "err").read_bytes())
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT_S) == 143
