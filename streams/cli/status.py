"""``facestream status``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Json, Output, grid
from streams.cli.down import Home
from streams.cli.settings import masked

if TYPE_CHECKING:
    from streams.homes import state

_REACHED_AT = ("kafka", "redis_url", "bigquery_rest", "bigquery_grpc")
_COLOURS = {"running": "green", "ready": "green", "failed": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status", rich_help_panel=LOOK)(status)


def status(home: Home = None, as_json: Json = False) -> None:
    """Show what `facestream up` runs in a folder, service by service, and the other stacks of this machine.

    It asks nobody: `facestream doctor` checks whether they work, and `facestream shards` who owns which partition.
    """
    from streams.homes import registry, state
    from streams.settings import OwnSettings
    from streams.text import duration

    output = Output(as_json)
    here = state.look(home or OwnSettings().home)
    others = [state.look(folder) for folder, _ in registry.running() if folder != here.folder]
    if here.run is None:
        output.say(f"No stack runs in {here.folder}; `facestream up` starts one.")
    else:
        output.say(f"{here.folder}: {here.phase}, process {here.run.pid}, for {duration(here.run.age_s)}")
        _show(output, here)
    if others:
        output.say("\nOther stacks on this machine:")
        table = grid("folder", "Kafka", "#process", "for")
        for one in others:
            run, kafka = one.run, (one.settings or {}).get("kafka", "")
            if run is not None:
                table.add_row(escape(str(one.folder)), kafka, str(run.pid), duration(run.age_s))
        output.table(table)
        output.say("Commands reach one of them after `export FACESTREAM_HOME=FOLDER`.")
    output.finish(_plain(here) | {"others": [_plain(one) for one in others]})


def _show(output: Output, here: state.Home) -> None:
    from streams.text import duration

    table = grid("name", "state", "for", "#restarts", "address", "log")
    for one in here.children:
        colour = _COLOURS.get(str(one), "yellow")
        table.add_row(
            one.name,
            f"[{colour}]{one}[/]",
            duration(time.time() - one.since),
            str(one.deaths),
            ", ".join(one.addresses),
            escape(one.log or "") if one.deaths or str(one) != "running" else "",
        )
    output.table(table)


def _plain(here: state.Home) -> dict[str, Any]:
    """For programs."""
    run = here.run
    return {
        "home": str(here.folder),
        "state": str(here.phase),
        "pid": run.pid if run else None,
        "began": run.began if run else None,
        "up_s": round(run.age_s, 1) if run else None,
        "services": [_child(one) for one in here.services],
        "workers": [_child(one) | {"role": str(one.role)} for one in here.workers],
        "addresses": {name: _address((here.settings or {}).get(name)) for name in _REACHED_AT}
        if here.settings
        else None,
    }


def _address(value: Any) -> str | None:
    return None if value is None else masked(value)


def _child(one: state.Child) -> dict[str, Any]:
    return {
        "name": one.name,
        "state": one.state,
        "pid": one.pid,
        "since": one.since,
        "restarts": one.deaths,
        "exit_code": one.exit_code,
        "restart_at": one.restart_at,
        "addresses": list(one.addresses),
        "log": one.log,
    }
