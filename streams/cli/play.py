"""``facestream play``."""

from __future__ import annotations

import itertools
import time
from datetime import datetime
from typing import Annotated

import typer

from schemas.ingest import Mode
from streams.cli.console import PRODUCE, Json, Output, User, load_settings, not_empty
from streams.text import pluralize


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("play", rich_help_panel=PRODUCE)(play)


def play(
    where: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Folder, picture, video file, number of a camera, or rtsp://…"),
    ],
    user: User = "default",
    camera: Annotated[str, typer.Option("--camera", "-c", callback=not_empty, help="Name of the camera.")] = "camera",
    fps: Annotated[
        float | None,
        typer.Option(min=0, help="Frames a second, 0: as fast as they come. Default: the video's own rate."),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Start again at the end.")] = False,
    mode: Annotated[
        Mode, typer.Option(help="identify: who is it? verify: is it SUBJECT? search: who of all users' subjects?")
    ] = Mode.IDENTIFY,
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject", "-s", callback=not_empty, help="With --mode verify: the person claimed; default: the user."
        ),
    ] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after this number of frames.")] = None,
    as_json: Json = False,
) -> None:
    """Send pictures as a camera's frames. Fails if one could not be read or was not delivered.

    Frames are numbered from the camera's latest answer on.
    """
    from models.pictures.folders import FoundPictures
    from streams.cameras import player
    from streams.cameras.numbers import latest_number
    from streams.cameras.sources import LocalCamera, NetworkCamera, Pictures, open_source, shots
    from streams.client.producer import Producer

    output = Output(as_json)
    if subject is not None and mode is not Mode.VERIFY:
        raise typer.BadParameter("--subject is the person claimed: it goes with --mode verify")
    source = open_source(where)
    live = isinstance(source, LocalCamera | NetworkCamera)
    tally = player.FrameCounts(output.warn)
    found = source.found() if isinstance(source, Pictures) else FoundPictures()
    if found.left_out:
        output.warn(found.left_out_in_words)
    settings = load_settings()
    latest = latest_number(settings, user, camera)
    numbers = itertools.count(0 if latest is None else latest + 1)
    began = time.monotonic()
    try:
        with (
            Producer(settings, on_delivery=tally.report, check_format=False) as producer,
            output.progress() as progress,
        ):

            def send(picture: bytes, *, captured_at: datetime | None, timeout_s: float | None) -> None:
                producer.frame(
                    user,
                    picture,
                    camera_id=camera,
                    sequence=next(numbers),
                    captured_at=captured_at,
                    mode=mode,
                    subject_id=subject,
                    timeout_s=timeout_s,
                )

            whole = None if isinstance(source, LocalCamera | NetworkCamera) else len(found.pictures) or source.total
            total = count if loop or whole is None else min(count or whole, whole)
            task = progress.add_task(f"{user}/{camera}", total=total, note="")
            player.play(
                shots(source, fps=fps, loop=loop),
                send,
                tally,
                live=live,
                limit=count,
                progress=lambda: progress.update(task, advance=1, note=tally.troubles),
            )
    finally:
        seconds = time.monotonic() - began
        rate = tally.counts["delivered"] / seconds
        text = f"{pluralize(tally.counts['delivered'], 'frame')} delivered in {seconds:.1f} s, {rate:.1f} a second"
        if any(tally.counts.values()):
            output.say(", ".join(filter(None, [text, tally.troubles])))
            times = {"seconds": round(seconds, 3), "frames_per_s": round(rate, 2)}
            output.finish(tally.counts | {"left_out": len(found.left_out)} | times)
    if tally.is_bad:
        raise typer.Exit(1)
