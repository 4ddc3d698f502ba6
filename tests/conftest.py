from __future__ import annotations

import atexit
import inspect
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import pytest

import infra.bigquery
import infra.kafka
import infra.redis
import infra.supervisor
from infra.services import LocalServices
from tests.streams.cli import preloaded
from tests.work_units import WorkUnits, place

# A shell that runs the tests in the background has them, and all that they start, ignore Ctrl-C, and nohup a closed
# terminal; some tests send both.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Stacks of the tests stay out of the user's list of stacks. All processes of a run share one list, as those of a user
# do; what they start inherits it.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="facestream-state-")
    atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# A busy machine is no failure.
hypothesis.settings.register_profile("facestream", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.load_profile("facestream")


@pytest.fixture(scope="session", autouse=True)
def _all_have_the_same_priority() -> Iterator[None]:
    """Beside several stacks on few cores, a process of theirs that gives way would have no time at all."""
    with mock.patch.object(infra.supervisor, "give_way"):
        yield


@pytest.fixture(scope="session", autouse=True)
def _workers_are_forks() -> Iterator[None]:
    """The workers of a stack import nothing anew; ``tests/integration/test_up.py`` starts them as users do."""
    with preloaded.for_supervisors():
        yield


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServices]:
    """Real Kafka, Redis and BigQuery servers for the whole run; see ``services.addresses``.

    Tests share them: take topics, key prefixes and datasets of your own, and leave them running.
    """
    with LocalServices(tmp_path_factory.mktemp("services"), print) as running:
        yield running


STARTS_SERVICES = re.compile(r"\b(LocalServices|Stack|Supervisor)\(|\b(kafka|redis|bigquery)\.start\(")
TAKES_LONG = re.compile(
    r"\bsubprocess\b|\bpexpect\b|\bAnalyzer\(|\bModel\.load\(|\bkeras\b|import tensorflow|"
    r"tests\.streams\.cli\.conftest|tests\.kubectl|\brtsp_server\b|\bplaywright\b"
)
"""What a test's module says if its tests start processes, load a network, or wait for a camera."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick", action="store_true", help="only tests that start no service and no process, and load no network"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        hypothesis.settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what would take long to import."""
    if config.getoption("--quick") and collection_path.name.startswith("test_") and collection_path.suffix == ".py":
        return _takes_long(collection_path) or None
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        left_out = [item for item in items if not _is_quick(item)]
        items[:] = [item for item in items if _is_quick(item)]
        config.hook.pytest_deselected(items=left_out)
    elif "PYTEST_XDIST_WORKER" in os.environ:
        slow = {item.path for item in items if not _is_quick(item) or _takes_long(item.path)}
        root = config.rootpath
        items.sort(key=lambda item: (place(item.path.relative_to(root).as_posix()), item.path not in slow))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> WorkUnits | None:
    return WorkUnits(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def _no_services_when_quick(request: pytest.FixtureRequest) -> None:
    """Make it loud where a quick test starts a service all the same."""
    if request.config.getoption("--quick"):
        for module in (infra.kafka, infra.redis, infra.bigquery):
            module.start = _refuse  # type: ignore[attr-defined]


def _refuse(*_: object) -> None:
    pytest.fail("a test of `make check` starts a service: have tests/conftest.py recognise its fixture")


@cache
def _takes_long(module: Path) -> bool:
    text = module.read_text("utf-8")
    return bool(STARTS_SERVICES.search(text) or TAKES_LONG.search(text))


def _is_quick(item: pytest.Item) -> bool:
    fixtures: dict[str, Any] = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    sources = [_source(one.func) for defined in fixtures.values() for one in defined]
    return not any(STARTS_SERVICES.search(source) or TAKES_LONG.search(source) for source in sources)


@cache
def _source(part: Any) -> str:
    try:
        return inspect.getsource(part)
    except (OSError, TypeError):
        return ""
