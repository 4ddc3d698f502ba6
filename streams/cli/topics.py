"""``facestream topics create|list|repair|repartition|acls``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from streams.cli.console import MAINTAIN, Format, Json, Output, TableFormat, grid, load_settings
from streams.text import pluralize

if TYPE_CHECKING:
    from streams.operations.topic_copy import Repair
    from streams.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Create the Kafka topics, show their state, repair or repartition them, or set who may use them.",
    )
    group.command("create")(create)
    group.command("list")(list_)
    group.command("repair")(repair)
    group.command("repartition")(repartition)
    group.command("acls")(acls)
    app.add_typer(group, name="topics", rich_help_panel=MAINTAIN)


def create(
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss", help="Also create, empty, topics that existed before and held data that should be kept."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Create the topics that are missing, and update retention and limits of the others."""
    from streams.kafka import topic_admin
    from streams.kafka.connection import admin_client

    output = Output(as_json)
    now = load_settings()
    changes = topic_admin.create(admin_client(now), now, accept_loss=accept_loss)
    table = grid("topic", "", "~")
    for change in changes:
        table.add_row(escape(change.name), change.did, escape(change.detail))
    output.table(table)
    output.finish({"topics": {change.name: change.did for change in changes}, "partitions": now.partitions})


def list_(form: TableFormat = Format.TABLE, as_json: Json = False) -> None:
    """Show every topic: partitions, messages, retention. Fails if one is missing or wrongly configured."""
    from streams.kafka import topic_admin
    from streams.kafka.connection import admin_client
    from streams.kafka.partition_counts import check_copartitioned

    output = Output(as_json, form)
    now = load_settings()
    admin = admin_client(now)
    states = topic_admin.describe(admin, now)
    messages = topic_admin.messages(admin, states)
    table = grid("topic", "#partitions", "#replicas", "#messages", "kept", "~")
    for state in states:
        differs = f"to be updated: {', '.join(state.differs)}" if state.differs else ""
        table.add_row(
            escape(state.name),
            str(state.partitions),
            str(state.replicas),
            str(messages[state.topic]),
            _kept(state.config) if state.exists else "",
            escape(differs) if state.exists else "missing",
        )
    output.table(table)
    output.finish(
        {
            "topics": [
                {
                    "name": state.name,
                    "exists": state.exists,
                    "partitions": state.partitions,
                    "replicas": state.replicas,
                    "messages": messages[state.topic],
                    "config": dict(state.config),
                    "differs": dict(state.differs),
                }
                for state in states
            ]
        }
    )
    check_copartitioned({state.topic: state.partitions for state in states}, now)


def repair(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be created again.")] = False,
    as_json: Json = False,
) -> None:
    """Recreate topics with another number of partitions than the rest, or with too few replicas.

    All their records are kept, and waiting messages are processed afterwards. Stop the workers first. Safe to repeat.
    """
    from streams.kafka.connection import admin_client
    from streams.operations import topic_repair

    now, output = load_settings(), Output(as_json)
    _recreate(topic_repair.plan(admin_client(now), now), now, output, dry_run=dry_run, done="repaired")


def repartition(
    partitions: Annotated[int, typer.Option("--partitions", min=1, max=1024, help="The new number.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be created again.")] = False,
    as_json: Json = False,
) -> None:
    """Give all topics more partitions, with everything that is in them, so that more workers can share the load.

    Users move with their galleries, and waiting messages are processed afterwards. Stop the workers and gateways first;
    producers may run, and send again what is not taken meanwhile. Safe to repeat: what was interrupted is continued.
    """
    from streams.kafka.connection import admin_client
    from streams.operations import topic_repair

    before, output = load_settings(), Output(as_json)
    now = before.model_copy(update={"partitions": partitions})
    repairs = topic_repair.plan_repartition(admin_client(now), now)
    _recreate(repairs, now, output, dry_run=dry_run, done="repartitioned")
    if before.partitions != partitions:
        output.warn(f"set FACESTREAM_PARTITIONS={partitions} for everything that is started from now on")


def acls(
    user: Annotated[
        str | None,
        typer.Option(
            "--role", help="Only of this user: a role of workers, `producer`, `client`, `gateway` or `operator`."
        ),
    ] = None,
    principal: Annotated[
        str | None,
        typer.Option(
            "--principal",
            help="The user of `--role` as the brokers know it, such as `User:anna`. Otherwise `User:facestream-ROLE`.",
        ),
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Create them; for a user who may alter the cluster.")
    ] = False,
    form: TableFormat = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Show the ACLs that each role, producers, the gateway and the operator need on Kafka, or create them.

    They follow the prefix of topics. Nothing else is needed, and nothing is removed. Safe to repeat.
    """
    from streams.kafka.connection import admin_client
    from streams.operations import access_rights

    output, now = Output(as_json, form), load_settings()
    if user is not None and user not in access_rights.USERS:
        raise typer.BadParameter(f"it is one of {', '.join(access_rights.USERS)}", param_hint="--role")
    if principal is not None and user is None:
        raise typer.BadParameter("say whose it is: give --role too", param_hint="--principal")
    if principal is not None and not principal.partition(":")[2]:
        raise typer.BadParameter("it begins with its kind: User:anna", param_hint="--principal")
    wanted = [
        acl for one in access_rights.USERS if user in (None, one) for acl in access_rights.acls(one, now, principal)
    ]
    if create:
        access_rights.create_acls(admin_client(now), now, wanted)
    table = grid("principal", "operation", "on", "name")
    for acl in wanted:
        name = f"{acl.name}*" if acl.prefixed else acl.name
        table.add_row(escape(acl.principal), acl.operation, acl.resource, escape(name))
    output.table(table)
    if create:
        output.say(f"{pluralize(len(wanted), 'ACL')} created, or there already")
    output.finish(
        {
            "acls": [
                {
                    "principal": acl.principal,
                    "operation": acl.operation,
                    "resource": acl.resource,
                    "name": acl.name,
                    "pattern": "prefixed" if acl.prefixed else "literal",
                }
                for acl in wanted
            ],
            "created": create,
        }
    )


def _recreate(repairs: Sequence[Repair], now: Settings, output: Output, *, dry_run: bool, done: str) -> None:
    from streams.operations import topic_repair

    table = grid("topic", "#partitions", "#records", "~")
    for one in repairs:
        target = f"{one.count} partitions, replicated {one.replicas} times"
        table.add_row(escape(one.name), str(one.partitions), str(one.records), f"→ {target}")
    if repairs:
        output.table(table)
    if not dry_run and repairs:
        topic_repair.repair(now, repairs, output.warn)
    output.say(f"{pluralize(len(repairs), 'topic')} {f'to be {done}' if dry_run else done}")
    changed = [{"name": one.name, "partitions": one.partitions, "records": one.records} for one in repairs]
    output.finish({done: changed, "partitions": now.partitions, "dry_run": dry_run})


def _kept(config: Mapping[str, str]) -> str:
    """How long a topic keeps its messages; a compacted one keeps the last message of each key."""
    policy = config.get("cleanup.policy", "").split(",")
    hours = f"for {int(config.get('retention.ms', 0)) / 3_600_000:g} h"
    return ", ".join(filter(None, ["compacted" if "compact" in policy else "", hours if "delete" in policy else ""]))
