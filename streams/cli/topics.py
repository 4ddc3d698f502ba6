"""``facestream topics create|list``."""

from __future__ import annotations

from collections.abc import Mapping

import typer
from rich.markup import escape

from streams.cli.console import MAINTAIN, Json, Output, grid, load_settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Create the Kafka topics, or show how they are.")
    group.command("create")(create)
    group.command("list")(list_)
    app.add_typer(group, name="topics", rich_help_panel=MAINTAIN)


def create(as_json: Json = False) -> None:
    """Create the topics that are missing, and bring the others' retention and limits up to date."""
    from streams import topics
    from streams.kafka import admin_client

    output = Output(as_json)
    now = load_settings()
    changes = topics.create(admin_client(now), now)
    table = grid("topic", "", "~")
    for change in changes:
        table.add_row(escape(change.name), change.did, escape(change.detail))
    output.table(table)
    output.finish({"topics": {change.name: change.did for change in changes}, "partitions": now.partitions})


def list_(as_json: Json = False) -> None:
    """Show every topic: partitions, what it holds, how long. Fails if one is missing or not as it must be."""
    from streams import topics
    from streams.kafka import admin_client

    output = Output(as_json)
    now = load_settings()
    admin = admin_client(now)
    states = topics.describe(admin, now)
    messages = topics.messages(admin, states)
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
    topics.check_copartitioned({state.topic: state.partitions for state in states}, now)


def _kept(config: Mapping[str, str]) -> str:
    """How long a topic's messages are kept; of a compacted one the last of each key."""
    policy = config.get("cleanup.policy", "").split(",")
    hours = f"for {int(config.get('retention.ms', 0)) / 3_600_000:g} h"
    return ", ".join(filter(None, ["compacted" if "compact" in policy else "", hours if "delete" in policy else ""]))
