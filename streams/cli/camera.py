"""``facestream camera``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from streams.cli.console import RUN, Json, Output, grid, load_settings
from streams.text import pluralize

if TYPE_CHECKING:
    from streams.cameras.config import Camera


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("camera", rich_help_panel=RUN)(camera)


def camera(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file with a table [[camera]] for each camera.")],
    check: Annotated[
        bool, typer.Option("--check", help="Look at one frame of each camera, show what is there, and send nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send the frames of many cameras until SIGTERM or Ctrl-C, or until every folder and video is at its end.

    Cameras that are away are connected again for as long as it takes. Frames in which nothing moves are left out, and
    where something is too slow the newest frame is sent. Health and metrics are served as by a worker.
    """
    from streams.cameras.config import read_cameras

    cameras = read_cameras(file)
    output = Output(as_json)
    if check:
        _check(cameras, output)
    else:
        _run(cameras, output)


def _check(cameras: Sequence[Camera], output: Output) -> None:
    from streams.cameras.check import look

    findings = look(cameras)
    table = grid("camera", "source", "size", "#clock ahead, s", "~problem")
    for one in findings:
        size = "" if one.size is None else f"{one.size[0]} × {one.size[1]}"
        ahead = "" if one.clock_ahead_s is None else f"{one.clock_ahead_s:.1f}"
        table.add_row(
            *(escape(text) for text in (f"{one.user}/{one.camera}", one.source)), size, ahead, one.problem or ""
        )
    output.table(table)
    output.finish({"cameras": [asdict(one) for one in findings]})
    if any(one.problem for one in findings):
        raise typer.Exit(1)


def _run(cameras: Sequence[Camera], output: Output) -> None:
    """Run them; ends the process without waiting for cameras that are silent."""
    from streams.cameras.service import CameraService, check_topics
    from streams.engine.shutdown import end, set_on_signal
    from streams.observability import logs

    settings = load_settings()
    logs.configure("camera", settings)
    check_topics(settings)
    stop = threading.Event()
    with CameraService(cameras, settings) as service:
        set_on_signal(stop)
        code = service.wait(stop)
    statuses = service.statuses()
    output.say(", ".join(f"{one.user}/{one.camera}: {pluralize(one.delivered, 'frame')} delivered" for one in statuses))
    output.finish({"cameras": [asdict(one) for one in statuses]})
    end(code or int(service.failed))
