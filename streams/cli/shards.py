"""``facestream shards``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Format, Json, Output, TableFormat, grid, load_settings
from streams.roles import Role, running_roles

if TYPE_CHECKING:
    from rich.table import Table

    from streams.observability.partition_status import PartitionState, RoleState

_NOBODY = "[red]nobody[/]"
_LONG_S = 120.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("shards", rich_help_panel=LOOK)(shards)


def shards(
    role: Annotated[Role | None, typer.Option(help="Only this role, in more detail.", show_default=False)] = None,
    form: TableFormat = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Show each partition: the users and templates of its gallery shard, and the lag of each role; then each worker.

    `owner` is the match worker, which holds the shard. The second table names the workers of every role, with the
    partitions that each has. Under each role, `12/3s`: 12 events wait for it, the oldest for 3 seconds; `nobody`: no
    worker of it has the partition. `commit`: time since match last committed an offset.

    --format csv writes only the first table.
    """
    from streams.kafka.connection import admin_client
    from streams.kafka.partition_counts import check_copartitioned, partition_counts
    from streams.observability.partition_status import partition_json, role_json, role_states

    output = Output(as_json, form)
    settings = load_settings()
    admin = admin_client(settings)
    counts = partition_counts(admin, settings)
    partitions = check_copartitioned(counts, settings)
    roles = [role] if role else running_roles(settings.search_purposes)
    states = {state.role: state for state in role_states(admin, settings, counts, roles)}
    output.table(_of_role(states[role]) if role else _of_all(states))
    if role is None and not output.csv:
        output.say("")
        output.table(_of_workers(states))
    for state in states.values():
        if not state.group.members:
            output.warn(f"no {state.role} worker runs: start one with `facestream worker {state.role}`")
        elif not state.group.settled:
            output.warn(f"the {state.role} workers are rebalancing their partitions")
        if held := [one for one in state.partitions if one.held_back]:
            listed = ", ".join(f"{one.held_back} in partition {one.partition}" for one in held)
            output.warn(
                f"for {state.role} more messages wait behind a transaction that a producer has not ended: {listed}"
            )
    result: dict[str, Any] = {"partitions": partitions}
    if Role.MATCH in states:
        result["shards"] = [partition_json(one, True) for one in states[Role.MATCH].partitions]
    output.finish(result | {"roles": {role: role_json(state) for role, state in states.items()}})


def _of_all(states: dict[Role, RoleState]) -> Table:
    """Each partition, with what waits for each role; those beside the way of an answer are in the second table only."""
    states = {role: state for role, state in states.items() if role not in (Role.RETRAIN, Role.HOOKS)}
    roles = [f"#{role.removeprefix('sink-')}" for role in states]
    table = grid("##", "owner", "#users", "#templates", *roles, "#commit")
    for shard in states[Role.MATCH].partitions:
        of_roles = [state.partitions[shard.partition] for state in states.values()]
        table.add_row(
            str(shard.partition),
            _owner(shard),
            *_size(shard),
            *(_waiting(one) if one.owner else f"{one.lag_events} {_NOBODY}" for one in of_roles),
            _seconds(shard.committed_s),
        )
    return table


def _of_workers(states: dict[Role, RoleState]) -> Table:
    """Each worker of each role, with its partitions, and the partitions of a role that nobody has."""
    table = grid("role", "worker", "machine", "#events wait", "partitions")
    for role, state in states.items():
        for member in sorted(state.group.members, key=lambda one: one.name):
            own = [one for one in state.partitions if one.owner == member]
            waiting = str(sum(one.lag_events for one in own))
            table.add_row(role, escape(member.name), escape(member.machine), waiting, _numbers(own) or "none")
        if left := [one for one in state.partitions if one.owner is None]:
            table.add_row(role, _NOBODY, "", str(sum(one.lag_events for one in left)), _numbers(left))
    return table


def _numbers(partitions: Sequence[PartitionState]) -> str:
    """Partition numbers in short, such as 0-3, 6."""
    runs: list[list[int]] = []
    for number in sorted(one.partition for one in partitions):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _of_role(state: RoleState) -> Table:
    sizes = ("#users", "#templates") if state.role is Role.MATCH else ()
    table = grid("#partition", "owner", "machine", *sizes, "#events wait", "#the oldest for", "#last commit")
    for one in state.partitions:
        table.add_row(
            str(one.partition),
            _owner(one),
            escape(one.owner.machine) if one.owner else "",
            *(_size(one) if sizes else ()),
            str(one.lag_events),
            _seconds(one.lag_s) if one.lag_events else "",
            _seconds(one.committed_s),
        )
    return table


def _owner(one: PartitionState) -> str:
    return escape(one.owner.name) if one.owner else _NOBODY


def _size(one: PartitionState) -> tuple[str, str]:
    return (str(one.size.users), str(one.size.templates)) if one.size else ("?", "?")


def _waiting(one: PartitionState) -> str:
    return f"{one.lag_events}/{_seconds(one.lag_s).replace(' ', '')}" if one.lag_events else "0"


def _seconds(value: float | None) -> str:
    if value is None:
        return "?"
    if value >= _LONG_S:
        return f"{value / 60:.0f} min" if value < 60 * _LONG_S else f"{value / 3_600:.0f} h"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
