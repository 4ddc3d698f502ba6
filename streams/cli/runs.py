"""``facestream runs list|show``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Format, Json, Output, TableFormat, grid, load_settings
from streams.text import pluralize


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Scheduled trainings: decisions and outcomes.")
    group.command("list")(list_)
    group.command("show")(show)
    app.add_typer(group, name="runs", rich_help_panel=LOOK)


def list_(
    skipped: Annotated[
        bool, typer.Option("--skipped", help="Show also the ticks at which nothing was trained.")
    ] = False,
    form: TableFormat = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Show the scheduled trainings, the newest last."""
    from schemas.as_json import to_json
    from schemas.learning import RunState
    from streams.retraining.run_log import runs

    output = Output(as_json, form)
    found = runs(load_settings())
    shown = [one for one in found if skipped or one.state is not RunState.SKIPPED]
    table = grid("run", "state", "worker", "#step", "#people", "#faces", "version", "~why")
    for one in shown:
        step = f"{one.step}/{one.steps}" if one.steps else ""
        table.add_row(
            *(one.run_id, one.state, escape(f"{one.worker} on {one.host}"), step, str(one.people), str(one.faces)),
            *(one.version or "", escape(one.reason)),
        )
    if shown or output.csv:
        output.table(table)
    if left_out := [one for one in found if one not in shown]:
        output.say(
            f"{pluralize(len(left_out), 'tick was', 'ticks were')} skipped, the last one since: {left_out[-1].reason}"
        )
    if not found:
        output.say("no runs: a retrain worker decides at the ticks of FACESTREAM_RETRAIN_SCHEDULE")
    output.finish({"runs": [to_json(one) for one in shown]})


def show(run_id: Annotated[str, typer.Argument(help="Id of the run.")], as_json: Json = False) -> None:
    """Show one run: its conditions, the end of its training set, its worker, and the gate's verdict."""
    from schemas.as_json import to_json
    from schemas.learning import RunState
    from streams.retraining.run_log import runs

    output = Output(as_json)
    run = next((one for one in runs(load_settings()) if one.run_id == run_id), None)
    if run is None:
        raise typer.BadParameter(f"there is no run {run_id!r}: see `facestream runs list --skipped`")
    table = grid("", "~")
    table.show_header = False
    plain = to_json(run)
    for name in ("run_id", "state", "reason", "due_at", "claimed_at", "heartbeat_at", "ended_at"):
        table.add_row(name, escape(str(plain[name] or "")))
    table.add_row("worker", escape(f"{run.worker} on {run.host}, token {run.token}, attempt {run.attempt}"))
    table.add_row("learns from", f"{pluralize(run.faces, 'face')} of {pluralize(run.people, 'person', 'people')}")
    for source in run.until:
        table.add_row("reads", escape(f"{source.topic}/{source.partition} to offset {source.offset}"))
    for condition in run.conditions:
        met = "" if condition.met else ", not enough"
        table.add_row(condition.name, f"{condition.found:g} of {condition.wanted:g}{met}")
    table.add_row("version", run.version or "")
    for refusal in run.refusals:
        table.add_row("must not take over", escape(refusal))
    output.table(table)
    if run.state is RunState.FINISHED:
        output.say(f"it may take over: facestream models rollout {run.version} --auto")
    output.finish(plain)
