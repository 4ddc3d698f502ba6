"""Injects faults while enrolments and frames flow; none may lose or duplicate an event."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.room import Room
from sinks.redis.address import RedisAddress
from sinks.redis.connection import connect
from streams.devtools.benchmarks.disk import DISK, full_disk
from streams.devtools.benchmarks.load import PURPOSE, Load, gap_s
from streams.devtools.benchmarks.memory import Memory
from streams.devtools.benchmarks.rows import Figures, on_stacks
from streams.devtools.local_stack import Stack
from streams.devtools.reconciliation import Reconciliation
from streams.kafka.connection import make_producer
from streams.kafka.topics import Topic
from streams.roles import ANSWERING, Role

_BEFORE_S = 3.0
_TIMEOUT_S = 240.0
_ASK_EVERY_S = 1.0
_DIGEST = ("--embedder", "digest")


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault during a load; it is over when ``inject`` returns."""

    name: str
    inject: Callable[[Stack, Load], None]
    rest_s: float = 4.0
    """Seconds for which the load goes on afterwards."""
    searches: bool = False
    """Whether the load has searches over all users too."""


def kill(*roles: Role) -> Callable[[Stack, Load], None]:
    """SIGKILL of one worker of each role; a new one starts when the others have taken over."""

    def inject(stack: Stack, _: Load) -> None:
        for role in roles:
            stack.services.supervisor.kill(_first(stack, role))
        time.sleep(stack.settings.session_timeout_s + 2)
        for role in roles:
            stack.await_owners([role])
            stack.add_worker(role, *_DIGEST)

    return inject


def terminate(role: Role) -> Callable[[Stack, Load], None]:
    """SIGTERM of one worker, then a new one."""

    def inject(stack: Stack, _: Load) -> None:
        stack.services.supervisor.stop(_first(stack, role))
        stack.add_worker(role, *_DIGEST)
        stack.await_owners([role])

    return inject


def suspend(role: Role) -> Callable[[Stack, Load], None]:
    """SIGSTOP of one worker for longer than its session, then SIGCONT: a zombie wakes up with an unfinished batch."""

    def inject(stack: Stack, _: Load) -> None:
        child = stack.services.supervisor.running()[_first(stack, role)]
        _signal_group(child, signal.SIGSTOP)
        time.sleep(2 * stack.settings.session_timeout_s)
        _signal_group(child, signal.SIGCONT)
        stack.await_owners([role])

    return inject


def restart_service(name: str, away_s: float) -> Callable[[Stack, Load], None]:
    """SIGKILL of a service, which restarts with its data on the same port after a while."""

    def inject(stack: Stack, _: Load) -> None:
        stack.services.supervisor.kill(name)
        time.sleep(away_s)
        stack.services.supervisor.restart(name)

    return inject


def empty_redis(stack: Stack, _: Load) -> None:
    """A restart of Redis without its data."""
    with closing(connect(RedisAddress.of(stack.settings))) as client:
        client.flushall()
    stack.services.supervisor.kill("redis")
    stack.services.supervisor.restart("redis")


def crash_bigquery(stack: Stack, _: Load) -> None:
    """A crash of a server, which only its supervisor restarts."""
    child = stack.services.supervisor.running()["bigquery"]
    _signal_group(child, signal.SIGSEGV)
    time.sleep(10)


def frozen_service(name: str, for_s: float) -> Callable[[Stack, Load], None]:
    """A service that keeps its connections and answers nothing."""

    def inject(stack: Stack, _: Load) -> None:
        child = stack.services.supervisor.running()[name]
        _signal_group(child, signal.SIGSTOP)
        time.sleep(for_s)
        _signal_group(child, signal.SIGCONT)

    return inject


def slow_service(name: str, for_s: float) -> Callable[[Stack, Load], None]:
    """A service that runs a twentieth of the time."""

    def inject(stack: Stack, _: Load) -> None:
        child = stack.services.supervisor.running()[name]
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            _signal_group(child, signal.SIGSTOP)
            time.sleep(0.95)
            _signal_group(child, signal.SIGCONT)
            time.sleep(0.05)

    return inject


def come_and_go(role: Role, times: int) -> Callable[[Stack, Load], None]:
    """A worker that joins and leaves every five seconds."""

    def inject(stack: Stack, _: Load) -> None:
        for _turn in range(times):
            name = stack.add_worker(role, *_DIGEST)
            time.sleep(5)
            stack.services.supervisor.stop(name)
            time.sleep(5)

    return inject


def rebalance_in_recovery(stack: Stack, load: Load) -> None:
    """All match workers start without their disks on a large gallery, and a second one joins while it is read."""
    load.enrol_many(5_000)
    for name in _all(stack, Role.MATCH):
        stack.services.supervisor.kill(name)
    shutil.rmtree(stack.settings.worker_dir(""), ignore_errors=True)
    stack.add_worker(Role.MATCH, *_DIGEST)
    time.sleep(2.5)
    stack.add_worker(Role.MATCH, *_DIGEST)
    stack.await_owners([Role.MATCH])


def lost_disk(stack: Stack, _: Load) -> None:
    """The folder of the match workers' tables is deleted under them, then they are killed."""
    names = _all(stack, Role.MATCH)
    shutil.rmtree(stack.settings.worker_dir(""), ignore_errors=True)
    time.sleep(1)
    for name in names:
        stack.services.supervisor.kill(name)
        stack.add_worker(Role.MATCH, *_DIGEST)
    stack.await_owners([Role.MATCH])


def poison(stack: Stack, load: Load) -> None:
    """Bytes that are no event, on every partition of every topic, among good events."""
    producer = make_producer(
        stack.settings,
        {
            "enable.idempotence": False,
        },
    )
    for topic in Topic:
        for partition in range(stack.settings.partitions):
            for bad in (b"", b"no event", b"\xc3\x01" + 8 * b"?" + b"body"):
                producer.produce(topic.named(stack.settings), bad, load.users[0], partition)
    producer.flush(10)


def backlog(events: int) -> Callable[[Stack, Load], None]:
    """A pause of embed in which events pile up."""

    def inject(stack: Stack, load: Load) -> None:
        for name in _all(stack, Role.EMBED):
            stack.services.supervisor.stop(name)
        load.burst(events)
        for _ in range(2):
            stack.add_worker(Role.EMBED, *_DIGEST)
        stack.await_owners([Role.EMBED])

    return inject


def in_a_bulk(inject: Callable[[Stack, Load], None]) -> Callable[[Stack, Load], None]:
    """The fault while one user's bulk of photos waits, and the others' events pass it."""

    def inject_in_bulk(stack: Stack, load: Load) -> None:
        load.bulk(5_000)
        inject(stack, load)

    return inject_in_bulk


FAULTS: Sequence[InjectedFault] = (
    InjectedFault("none", lambda *_: None),
    *(InjectedFault(f"sigkill {role}", kill(role)) for role in ANSWERING),
    InjectedFault("sigkill embed and match", kill(Role.EMBED, Role.MATCH)),
    InjectedFault("sigkill both sinks", kill(Role.SINK_REDIS, Role.SINK_BIGQUERY)),
    *(InjectedFault(f"sigstop and sigcont {role}", suspend(role)) for role in ANSWERING),
    *(InjectedFault(f"sigterm {role}", terminate(role)) for role in ANSWERING),
    InjectedFault("sigkill kafka", restart_service("kafka", 0)),
    InjectedFault("kafka away for 60 s", restart_service("kafka", 60)),
    InjectedFault("redis away for 60 s", restart_service("redis", 60)),
    InjectedFault("redis restarted empty", empty_redis),
    InjectedFault("bigquery away for 60 s", restart_service("bigquery", 60)),
    InjectedFault("bigquery crashes", crash_bigquery),
    InjectedFault("bigquery frozen for 30 s", frozen_service("bigquery", 30)),
    InjectedFault("bigquery slow for 30 s", slow_service("bigquery", 30)),
    InjectedFault("redis frozen for 15 s", frozen_service("redis", 15)),
    InjectedFault("disk full", full_disk),
    InjectedFault("embed comes and goes", come_and_go(Role.EMBED, 3)),
    InjectedFault("match comes and goes", come_and_go(Role.MATCH, 3)),
    InjectedFault("rebalance during recovery", rebalance_in_recovery),
    InjectedFault("disk lost", lost_disk),
    InjectedFault("poison on every topic", poison),
    InjectedFault("lag of 50000", backlog(50_000)),
    InjectedFault("sigkill embed and match in a bulk", in_a_bulk(kill(Role.EMBED, Role.MATCH))),
    InjectedFault("sigterm embed in a bulk", in_a_bulk(terminate(Role.EMBED))),
    InjectedFault("sigstop and sigcont embed in a bulk", in_a_bulk(suspend(Role.EMBED))),
    InjectedFault("embed comes and goes in a bulk", in_a_bulk(come_and_go(Role.EMBED, 2))),
    InjectedFault("sigkill kafka in a bulk", in_a_bulk(restart_service("kafka", 0))),
    InjectedFault("sigkill match and search in searches", kill(Role.MATCH, Role.SEARCH), searches=True),
    InjectedFault("sigstop and sigcont search in searches", suspend(Role.SEARCH), searches=True),
    InjectedFault("search comes and goes in searches", come_and_go(Role.SEARCH, 2), searches=True),
    InjectedFault("sigkill kafka in searches", restart_service("kafka", 0), searches=True),
)
_PATIENCE_S = 60.0
"""How long a search waits for a shard that moves: longer than any fault of a worker lasts."""


def measure(folder: Path, names: Sequence[str], events_per_s: float, say: Callable[[str], None]) -> Iterator[Figures]:
    """Inject these faults one after another into one stack with two workers a role; see :func:`on_stacks`.

    Returns:
        For each fault its row: ``events`` that went in, ``lost``, ``duplicates``, ``gap_s`` (the longest time for which
        some user saw nothing new) and ``memory_mb`` (the largest worker of each role); with searches also their number,
        how many did not cover all shards, and how many did not find the person first; or why it was not measured.
    """
    faults = {fault.name: fault for fault in FAULTS if fault.name in names}
    numbers = {name: number for number, name in enumerate(faults)}
    return on_stacks(
        list(faults),
        lambda number: _Running(folder / f"stack-{number}", say, any(fault.searches for fault in faults.values())),
        lambda running, name: running.inject(faults[name], numbers[name], events_per_s, say),
    )


class _Running:
    """A stack with its workers, and the reconciliation of its events; a context manager."""

    def __init__(self, folder: Path, say: Callable[[str], None], searches: bool) -> None:
        self._folder = folder
        self._roles = (*ANSWERING, Role.SEARCH) if searches else ANSWERING
        allowed: dict[str, Any] = {"search_purposes": [PURPOSE], "search_deadline_s": _PATIENCE_S} if searches else {}
        self._stack = Stack(folder, say, room=Room.of(folder, DISK.measure), live_stream_length=10**6, **allowed)

    def __enter__(self) -> Self:
        self._stack.start()
        try:
            for role in self._roles:
                for _ in range(2):
                    self._stack.add_worker(role, *_DIGEST)
            self._stack.await_owners(self._roles)
            self._accounts = Reconciliation(self._stack.settings)
        except BaseException:
            self._stack.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._accounts.close()
        self._stack.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def inject(self, fault: InjectedFault, number: int, events_per_s: float, say: Callable[[str], None]) -> Figures:
        """Inject a fault while events flow, and reconcile all of them."""
        stack = self._stack
        say(f"fault: {fault.name}")
        load = Load(stack.settings, events_per_s, f"load-{number}", searches=fault.searches)
        with Memory(stack) as memory, load:
            time.sleep(_BEFORE_S)
            fault.inject(stack, load)
            time.sleep(fault.rest_s)
        account = self._accounts.settle(
            list(load.sent), load.users, _TIMEOUT_S, ask_every_s=_ASK_EVERY_S, searches=load.searches
        )
        figures = _of_searches(load.searches, account.answers) if fault.searches else {}
        return {
            "fault": fault.name,
            "events": len(load.sent),
            "lost": account.lost,
            "duplicates": account.duplicates,
            "gap_s": round(gap_s(account.live_at, load.sent), 1),
            "memory_mb": memory.largest_mb,
        } | figures


def _of_searches(searches: Mapping[str, str], answers: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """How many searches were answered not wholly, or not with the person who was looked for, by event id and user."""
    covered = [answers[name]["search"] for name in searches if name in answers]
    nearest = {name: answers[name]["faces"][0]["candidates"][:1] for name in searches if name in answers}
    return {
        "searches": len(searches),
        "incomplete": sum(len(one["answered"]) < one["shards"] for one in covered),
        "wrong": sum([one["user_id"] for one in found] != [searches[name]] for name, found in nearest.items()),
    }


def _all(stack: Stack, role: Role) -> list[str]:
    return [name for name in stack.services.supervisor.running() if name.rpartition("-")[0] == role]


def _first(stack: Stack, role: Role) -> str:
    return _all(stack, role)[0]


def _signal_group(leader: int, number: signal.Signals) -> None:
    os.killpg(leader, number)
