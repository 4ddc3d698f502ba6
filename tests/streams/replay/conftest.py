"""Services and workers of these tests' own, which know a picture by its digest."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from streams.cli.main import main
from streams.devtools.local_stack import Stack
from streams.roles import Embedder
from streams.settings import settings
from tests.integration.clients import Clients
from tests.streams.cli.conftest import Ended, Run


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("replay"), print, partitions=3, live_stream_length=100_000) as running:
        running.add_workers(Embedder.DIGEST)
        yield running


@pytest.fixture(scope="package")
def clients(stack: Stack) -> Iterator[Clients]:
    opened = Clients(stack.settings)
    yield opened
    opened.close()


@pytest.fixture
def facestream(stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command in this process, on the stack."""
    for name, value in stack.environment().items():
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
