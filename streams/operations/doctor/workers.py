"""Checks the workers: owners of partitions, progress of commits, and the workers' own health."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from confluent_kafka.admin import AdminClient

from streams.kafka.connection import KafkaUnavailable
from streams.kafka.consumer_groups import GroupMember, describe_group, group_id
from streams.kafka.topics import Topic
from streams.observability.health_client import health_host, health_of
from streams.observability.partition_status import PartitionState, RoleState, role_states
from streams.operations.doctor.clock import clock
from streams.operations.doctor.finding import Finding, fail, ok, warn
from streams.operations.doctor.redis import usable as redis_usable
from streams.operations.doctor.remedies import Advice, Remedy
from streams.roles import ANSWERING, Role
from streams.settings import Settings
from streams.text import pluralize

_STANDBY_RECORDS = 1000
"""Changelog records that a standby may be behind: less than a second of reading."""
_LAG_S = 60.0
_WAITS_S = 10.0


def check(
    admin: AdminClient, settings: Settings, counts: Mapping[Topic, int], *, alike: bool = True
) -> Iterator[Finding]:
    """Check every role's group, partitions and members.

    Where the topics are not partitioned ``alike``, a worker that starts would end at once: nothing is to be restarted.
    """
    try:
        states = role_states(admin, settings, counts, list(Role))
    except (KafkaUnavailable, TimeoutError) as error:
        yield fail("workers", str(error) or "the brokers do not tell of them in time", Remedy.BROKERS_LOGS())
        return
    for state in states:
        yield from _role(state, admin, settings, alike)
    yield from _members([member for state in states for member in state.group.members], settings)


def _role(state: RoleState, admin: AdminClient, settings: Settings, alike: bool) -> Iterator[Finding]:
    name, start = f"{state.role} workers", f"facestream worker {state.role}"
    members = state.group.members
    if not members and state.role not in (*ANSWERING, *([Role.SEARCH] if settings.search_purposes else [])):
        yield ok(name, f"none runs, and no answer needs one; to have it: {start}")
        return
    if not members:
        waiting = sum(one.lag_events for one in state.partitions)
        remedy = Remedy.START_WORKER(role=state.role) if alike else Remedy.REPAIR_TOPICS()
        yield fail(name, f"none runs; {_wait(waiting)} for one", remedy)
        return
    if not state.group.settled and not _settles(admin, state.role, settings):
        yield warn(
            name,
            f"{pluralize(len(members), 'worker has', 'workers have')} been sharing out their partitions for "
            f"{_patience(settings):.0f} s",
            Remedy.UNSETTLED(),
        )
        return
    ownerless = [one.partition for one in state.partitions if one.owner is None] if state.group.settled else []
    if ownerless:
        yield fail(
            name,
            f"no worker has partition {', '.join(map(str, ownerless))}",
            Remedy.RESTART_WORKERS(role=state.role) if alike else Remedy.REPAIR_TOPICS(),
        )
    if len(members) > len(state.partitions) > 0:
        yield warn(
            name,
            f"{len(members)} run for {pluralize(len(state.partitions), 'partition')}: the others have nothing to do",
            Remedy.FEWER_WORKERS(),
        )
    stopped = [one for one in state.partitions if _stopped(one, settings)]
    away = _away(state.role, settings) if stopped else None
    for one in stopped:
        yield fail(
            f"commits of {state.role}",
            f"partition {one.partition}: {_wait(one.lag_events)}, the oldest for {_text(one.lag_s)}, "
            f"and the last commit was {_text(one.committed_s)} ago",
            _go_on(one, state.role, alike, away),
        )
    late = [one for one in state.partitions if one not in stopped and (one.lag_s or 0) > _LAG_S]
    if late:
        most = max(late, key=lambda one: one.lag_s or 0)
        yield warn(
            f"lag of {state.role}",
            f"{_wait(sum(one.lag_events for one in late))} in "
            f"{pluralize(len(late), 'partition')}, the oldest for {_text(most.lag_s)}",
            Remedy.ADD_WORKERS(role=state.role) if alike else Remedy.REPAIR_TOPICS(),
        )
    if not ownerless and not stopped:
        yield ok(name, f"{_have_all(len(members), len(state.partitions))}; {_waiting(state)}")


def _go_on(one: PartitionState, role: Role, alike: bool, away: str | None) -> Advice:
    """The remedy for a partition without commits; ``away`` is the service that the role waits for."""
    if not alike:
        return Remedy.REPAIR_TOPICS()
    if away is not None:
        return Remedy.SERVICE_FIRST(service=away)
    if one.owner is None:
        return Remedy.START_WORKER(role=role)
    return Remedy.RESTART_WORKER(worker=one.owner.name, machine=one.owner.machine)


def _away(role: Role, settings: Settings) -> str | None:
    """The service that a sink cannot use now; None if it can, or if the role is no sink."""
    if role is Role.SINK_REDIS and not redis_usable(settings):
        return "Redis"
    if role is Role.SINK_BIGQUERY:
        try:
            from streams.operations.doctor.bigquery import usable as bigquery_usable
        except ModuleNotFoundError:
            return None  # an installation for another role cannot tell
        return None if bigquery_usable(settings) else "BigQuery"
    return None


def _stopped(one: PartitionState, settings: Settings) -> bool:
    """Whether events wait and nothing has been committed for longer than a worker may take."""
    limit = settings.watchdog_s
    return one.lag_events > 0 and (one.lag_s or 0) > limit and (one.committed_s is None or one.committed_s > limit)


def _settles(admin: AdminClient, role: Role, settings: Settings) -> bool:
    deadline = time.monotonic() + _patience(settings)
    while time.monotonic() < deadline:
        if describe_group(admin, group_id(role, settings)).settled:
            return True
        time.sleep(0.5)
    return False


def _patience(settings: Settings) -> float:
    """Seconds that a rebalance which waits for every member may last: twice the session timeout."""
    return 2.5 * settings.session_timeout_s


def _waiting(state: RoleState) -> str:
    events = sum(one.lag_events for one in state.partitions)
    return _wait(events) if events else "nothing waits"


def _wait(events: int) -> str:
    return pluralize(events, "event waits", "events wait")


def _have_all(workers: int, partitions: int) -> str:
    what = "the only partition" if partitions == 1 else f"all {partitions} partitions"
    return f"{pluralize(workers, 'has', 'have')} {what}"


def _members(members: Sequence[GroupMember], settings: Settings) -> Iterator[Finding]:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda member: health_of(member, settings), members))
    silent = []
    for member, report in zip(members, answers, strict=True):
        if report is None:
            silent.append(member)
        elif not report["alive"]:
            yield fail(
                f"health of {member.name}", f"hangs: {report['problem']}", Remedy.RESTART_PROCESS(pid=report["pid"])
            )
        elif report["up_s"] > _LAG_S and not report["ready"]:
            why = f": {report['problem']}" if report["problem"] else " yet"
            yield warn(f"health of {member.name}", f"is not ready{why}", Remedy.WORKER_LOG(machine=member.machine))
        else:
            yield from _well(member, report, settings)
    for member in silent:
        yield warn(
            f"health of {member.name}",
            f"does not answer at {health_host(member, settings)}:{member.health_port}",
            Remedy.HEALTH_ADDRESS(machine=member.machine),
        )


def _well(member: GroupMember, report: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    if (waits := report.get("waits")) and waits["for_s"] > _WAITS_S:
        yield warn(
            f"work of {member.name}",
            f"{member.name} waits for {waits['for']} since {waits['for_s']:.0f} s: {waits['error']}",
            Remedy.WORKER_LOG(machine=member.machine),
        )
    behind = {one["partition"]: one["lag"] for one in report["standbys"] if one["lag"] > _STANDBY_RECORDS}
    if behind:
        listed = ", ".join(f"partition {number}: {pluralize(lag, 'record')}" for number, lag in behind.items())
        yield warn(
            f"standby of {member.name}",
            f"behind its changelog ({listed})",
            Remedy.RESTART_WORKER(worker=member.name, machine=member.machine),
        )
    for version, why in ((report.get("models") or {}).get("failed") or {}).items():
        yield fail(
            f"model versions of {member.name}",
            f"{version} is not used: {why}",
            Remedy.MODEL_OF_WORKER(machine=member.machine),
        )
    judged = clock(member.name, report["ahead_s"], report["uncertain_s"])
    if judged.remedy:
        yield judged
    if report["problem"]:
        yield warn(f"partitions of {member.name}", report["problem"], Remedy.WORKER_LOG(machine=member.machine))
    standbys = len(report["standbys"])
    spare = ", a spare: others have all partitions" if report.get("spare") else ""
    more = f", {pluralize(standbys, 'standby partition')} up to date" if standbys and not behind else ""
    yield ok(
        f"health of {member.name}",
        f"alive and ready at {health_host(member, settings)}:{member.health_port}{more}{spare}",
    )


def _text(seconds: float | None) -> str:
    return "an unknown time" if seconds is None else f"{seconds:.0f} s"
