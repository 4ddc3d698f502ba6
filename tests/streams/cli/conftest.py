from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.services import LocalServices
from streams.cli.main import main
from streams.settings import settings
from tests.streams.cli import preloaded

TIMEOUT_S = 90


@dataclass(frozen=True)
class Ended:
    """What a command has printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line on stdout."""
        result: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return result


Run = Callable[..., Ended]


def environment(**settings: str) -> dict[str, str]:
    """The environment of this process with no other settings than these."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FACESTREAM_")}
    return plain | {"COLUMNS": "200", "PYTHONPATH": str(Path.cwd())} | settings


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "streams.cli", *map(str, arguments)]


@pytest.fixture(scope="module")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two subjects, others in each module; the workers of these tests know a picture by its digest."""
    import cv2
    import numpy as np

    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(list(request.module.__name__.encode()))
    for name in ("anna/1.jpg", "anna/2.jpg", "otto/1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), random.integers(0, 255, (60, 80, 3), np.uint8))
    return folder


@pytest.fixture
def offline(tmp_path: Path) -> Run:
    """Run a command where no service can be reached, in an empty folder."""
    nowhere = environment(
        FACESTREAM_KAFKA="127.0.0.1:1",
        FACESTREAM_REDIS_URL="redis://:secret@127.0.0.1:1/0",
        FACESTREAM_BIGQUERY_REST="http://127.0.0.1:1",
    )

    def run_offline(*arguments: object, **settings: str) -> Ended:
        return run(arguments, nowhere | settings, tmp_path)

    return run_offline


@pytest.fixture(scope="module")
def cluster(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with topics, keys and tables of its own."""
    name = f"cli-{uuid.uuid4().hex[:8]}"
    settings = services.addresses.environment() | {
        "FACESTREAM_HOME": str(tmp_path_factory.mktemp("home")),
        "FACESTREAM_TOPIC_PREFIX": f"{name}.",
        "FACESTREAM_REDIS_PREFIX": f"{name}:",
        "FACESTREAM_BIGQUERY_DATASET": name.replace("-", "_"),
        "FACESTREAM_PARTITIONS": "2",
    }
    return environment(**settings)


@pytest.fixture
def facestream(cluster: dict[str, str], tmp_path: Path) -> Run:
    """Run a command on the cluster."""
    return lambda *arguments, **settings: run(arguments, cluster | settings, tmp_path)


@pytest.fixture
def here(
    cluster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run a command on the cluster in this process: TensorFlow is loaded once for all."""
    monkeypatch.chdir(tmp_path)
    yield from run_here(cluster, monkeypatch, capsys)


def run_here(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Give what runs a command in this process, with variables of its own."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(one) for one in arguments])
        out, err = capsys.readouterr()
        sys.stderr.write(err)
        return Ended(int(ended.value.code or 0), out, err)

    yield run
    settings.cache_clear()


@pytest.fixture(scope="module")
def workers(cluster: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers that recognise a picture by its digest, so that what they answer is known beforehand."""
    folder = tmp_path_factory.mktemp("workers")
    created = run(("topics", "create"), cluster, folder)
    assert created.code == 0, created.err
    with ExitStack() as running:
        for role in (("embed", "--embedder", "digest"), ("match", "--embedder", "digest"), ("sink-redis",)):
            running.enter_context(worker(role, cluster, folder))
        yield


@contextmanager
def worker(role: tuple[str, ...], cluster: dict[str, str], folder: Path) -> Iterator[None]:
    log = folder / f"{role[0]}.log"
    with log.open("wb") as output:
        process = preloaded.start(["worker", *role], cluster, Path.cwd(), output, output)
    try:
        yield
        assert process.poll() is None, log.read_text()[-2_000:]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)


def run(arguments: tuple[object, ...], env: dict[str, str], folder: Path) -> Ended:
    return Ended(*preloaded.run([str(one) for one in arguments], env, folder, TIMEOUT_S))
