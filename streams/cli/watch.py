"""``facestream watch``."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.console import LOOK, Output, asking_redis, line, load_settings

_LATEST = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch", rich_help_panel=LOOK)(watch)


def watch(
    users: Annotated[
        list[str] | None,
        typer.Option("--user", "-u", help="Only results of this user; repeatable. Default: of all users."),
    ] = None,
    kept: Annotated[bool, typer.Option("--kept", help="With --user: begin with the results that are kept.")] = False,
    last: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"Begin with this many of the latest results. Default: {_LATEST}; with --json or --count: none.",
            show_default=False,
        ),
    ] = None,
    details: Annotated[
        bool, typer.Option("--details", "-d", help="Also event ids, and the similarity and FMR of the nearest subject.")
    ] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after this number of results.")] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", min=0, help="End after this number of seconds; with --count that is a failure."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show results and enrolments as they come; goes on when Redis has been away.

    After a match stands the similarity: 1 is the same photo, and what counts as a match is the model's threshold.
    `--details` shows the false-match rate (FMR) too: how often two strangers look at least as alike.

    Example: facestream watch --user anna --details
    """
    from streams.cli.answer_lines import answer_lines
    from streams.operations.live_answers import LiveAnswers
    from streams.settings import Settings

    if kept and not users:
        raise typer.BadParameter("--kept needs --user")
    output = Output(as_json)
    if last is None:
        last = 0 if as_json or count is not None else _LATEST
    width = output.people.width if output.people.is_terminal else None
    shown = 0
    answers = LiveAnswers(
        Settings,  # read anew at each connection
        users or [],
        lost=lambda _: output.warn("Redis does not answer: waiting for it"),
        listening=lambda: None if as_json else output.note("listening; Ctrl-C ends"),
    )
    with asking_redis(load_settings()):
        for entry in answers.follow(None if kept else last, timeout_s):
            if as_json:
                line({"kind": entry.kind} | entry.event)
            else:
                for text in answer_lines(entry.kind, entry.event, width=width, details=details):
                    output.people.print(text, soft_wrap=True)
            shown += 1
            if shown == count:
                return
    if count is not None:
        output.warn(f"{shown} of {count} results came within {timeout_s:g} s")
        raise typer.Exit(1)
