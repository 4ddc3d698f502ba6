"""Runs the checks in parallel, each with a time limit, and yields their findings in order."""

from __future__ import annotations

import importlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn

from streams.missing_packages import missing_package
from streams.operations.doctor.cluster import check as kafka
from streams.operations.doctor.crashes import check as crashes
from streams.operations.doctor.dead_letters import check as dead_letters
from streams.operations.doctor.drift import check as drift
from streams.operations.doctor.finding import Check, Finding, fail, warn
from streams.operations.doctor.hooks import check as hooks
from streams.operations.doctor.machine import check as machine
from streams.operations.doctor.redis import check as redis
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings

LIMIT_S = 60.0


def examine(settings: Settings, *, load_model: bool = True) -> Iterator[Finding]:
    """Check services, topics, workers, tables, dead letters, models, clocks, disk and versions.

    Args:
        settings: of what is looked at.
        load_model: also load the model and embed with it, which takes seconds.
    """
    bigquery, rows, models = _check("bigquery"), _check("rows"), _check("models")
    checks: dict[str, Check] = {
        "machine": lambda: machine(settings),
        "crashes": lambda: crashes(settings),
        "kafka": lambda: kafka(settings),
        "redis": lambda: redis(settings),
        "bigquery": lambda: bigquery(settings),
        "rows": lambda: rows(settings),
        "dead letters": lambda: dead_letters(settings),
        "drift": lambda: drift(settings),
        "hooks": lambda: hooks(settings),
        "models": lambda: models(settings, load=load_model),
    }
    return run(checks, LIMIT_S)


def run(checks: Mapping[str, Check], limit_s: float) -> Iterator[Finding]:
    """Run checks in threads, so that a slow one delays no other and a stuck one does not delay the end."""
    found: dict[str, queue.SimpleQueue[Finding | None]] = {name: queue.SimpleQueue() for name in checks}

    def follow(name: str, check: Check) -> None:
        try:
            for finding in check():
                found[name].put(finding)
        except Exception as error:
            found[name].put(_broken(name, error))
        found[name].put(None)

    for name, check in checks.items():
        threading.Thread(target=follow, args=(name, check), name=f"check-{name}", daemon=True).start()
    deadline = time.monotonic() + limit_s
    for name, queued in found.items():
        while True:
            try:
                finding = queued.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                yield fail(name, f"no answer within {limit_s:g} s", Remedy.CHECK_LATE())
                break
            if finding is None:
                break
            yield finding


def _check(module: str) -> Callable[..., Iterable[Finding]]:
    """The check of a module that needs packages which an installation for one role may not have.

    It is imported here and not in the check's thread: of two threads that import one package, one may see half of it.
    """
    try:
        check: Callable[..., Iterable[Finding]] = importlib.import_module(f"{__package__}.{module}").check
    except ModuleNotFoundError as error:
        missing = error

        def cannot(*_: object, **__: object) -> NoReturn:
            raise missing

        return cannot
    return check


def _broken(name: str, error: Exception) -> Finding:
    if package := missing_package(error):
        return warn(
            name, f"cannot be looked at here: this installation has no package {package}", Remedy.ONE_ROLE_ONLY()
        )
    text = " ".join(str(error).split())
    return fail(name, f"could not be looked at: {type(error).__name__}: {text}", Remedy.CHECK_BROKEN())
