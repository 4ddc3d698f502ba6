"""Services and workers of these tests' own, which know a picture by its digest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.devtools.local_stack import Stack
from streams.roles import Embedder
from tests.integration.clients import Clients
from tests.prepared_tables import with_tables
from tests.streams.cli.conftest import Run, run_here


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = with_tables(tmp_path_factory.mktemp("replay"))
    with Stack(folder, print, partitions=3, live_stream_length=100_000) as running:
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
    yield from run_here(stack.environment(), monkeypatch, capsys)
