"""``facestream demo``."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.console import RUN, Json, Output, grid
from streams.text import pluralize

if TYPE_CHECKING:
    from streams.devtools.demo import DemoEvents
    from streams.devtools.reconciliation import ReconciliationReport

_TIMEOUT_S = 120.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", rich_help_panel=RUN)(demo)


def demo(
    frames: Annotated[int, typer.Option(min=1, help="Frames to stream.")] = 360,
    fps: Annotated[float, typer.Option(min=0.1, help="Frames a second, of all cameras together.")] = 40.0,
    video: Annotated[
        Path | None, typer.Option(help="A video file to stream as one more camera.", show_default=False)
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--dir", help="Folder to keep data and logs in.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Recognise real faces through real Kafka, Redis and BigQuery on this machine, and account for every event."""
    output = Output(as_json)
    if video is not None:
        _check_video(video)
    if keep is not None:
        result = _run(keep, frames, fps, video, output)
    else:
        with tempfile.TemporaryDirectory(prefix="facestream-demo-") as folder:
            result = _run(Path(folder), frames, fps, video, output)
    output.finish(result)
    if result["lost"] or result["duplicates"]:
        raise typer.Exit(1)


def _check_video(file: Path) -> None:
    """Open the video as the demo will, before anything is started."""
    from streams.cameras.sources import SourceError, Video

    if not file.is_file():
        raise typer.BadParameter(f"there is no video {str(file)!r}")
    try:
        next(Video(file).shots(), None)
    except SourceError as error:
        raise typer.BadParameter(str(error)) from error


def _run(folder: Path, frames: int, fps: float, video: Path | None, output: Output) -> dict[str, Any]:
    from infra.photos import sample_photos
    from streams.client.producer import Producer
    from streams.devtools import demo as show
    from streams.devtools.local_stack import Stack
    from streams.devtools.reconciliation import Reconciliation

    photos = sample_photos()
    sent = show.DemoEvents()
    with Stack(folder, output.say, live_stream_length=100_000) as stack:
        stack.start_gateway()
        stack.add_workers()
        key = stack.await_gateway()
        output.say(f"the HTTP gateway is at {stack.gateway}/api/, with the key {key.text} while this runs")
        output.say(f"its live page is at {stack.gateway}/#key={key.text}&user={show.USERS[0]}")
        output.say(
            f"enrolling {len(show.PHOTOS)} photos, then {pluralize(frames, 'frame')} of {len(show.CAMERAS)} cameras"
        )
        with output.progress() as progress, Producer(stack.settings) as producer:
            show.enrol(producer, photos, sent)
            task = progress.add_task("streaming", total=frames if video is None else None, note=f"{fps:g} frames/s")
            show.stream(
                producer,
                photos,
                sent,
                frames=frames,
                fps=fps,
                video=video,
                progress=lambda done: progress.update(task, completed=done),
            )
        accounts = Reconciliation(stack.settings)
        with output.progress() as progress:
            task = progress.add_task("waiting for results", total=len(sent.event_ids), note="")
            account = accounts.settle(
                sent.event_ids,
                show.USERS,
                _TIMEOUT_S,
                lambda redis, rows: progress.update(task, completed=rows, note=f"{redis} in Redis, {rows} in BigQuery"),
            )
        accounts.close()
        result = show.summary(sent, account)
        _show(sent, account, result, output)
    return result


def _show(sent: DemoEvents, account: ReconciliationReport, result: dict[str, Any], output: Output) -> None:
    from streams.cli.charts import histogram
    from streams.devtools.demo import latencies_ms

    table = grid("enrolment photo", "user", "subject", "outcome", "")
    for event_id, photo in sent.uploads.items():
        answer = account.answers.get(event_id, {"outcome": "lost", "refusal": None})
        refusal = answer["refusal"] or {}
        table.add_row(photo.name, photo.user, photo.subject, answer["outcome"], refusal.get("reason", ""))
    output.table(table)
    table = grid("camera", "user", "shows", "#frames", "~recognised as")
    for camera in dict.fromkeys(sent.frames.values()):
        of_camera = [one for one, shown in sent.frames.items() if shown == camera]
        named = Counter(name for one in of_camera if one in account.answers for name in _named(account.answers[one]))
        heard = ", ".join(f"{name} × {count}" for name, count in named.most_common()) or "nobody"
        if camera is None:
            table.add_row("video", "alice", "?", str(len(of_camera)), heard)
        else:
            table.add_row(camera.name, camera.user, camera.subject or "a stranger", str(len(of_camera)), heard)
    output.table(table)
    output.say("from Kafka to Redis, milliseconds:\n" + histogram(latencies_ms(sent, account), "ms"))
    output.table(_steps(sent, account))
    output.say(
        f"{pluralize(result['frames'], 'frame')}: {pluralize(result['results_redis'], 'result')} in Redis, "
        f"{pluralize(result['rows_bigquery'], 'row')} in BigQuery, {pluralize(result['lost'], 'event')} lost, "
        f"{result['duplicates']} doubled; {result['correct']} right, "
        f"{result['wrong']} wrong, {result['missed']} missed; p50 {result['latency_ms']['p50']} ms, "
        f"p99 {result['latency_ms']['p99']} ms, {result['frames_per_s']} frames/s"
    )


def _named(answer: dict[str, Any]) -> Sequence[str]:
    return [face["subject_id"] if face["decision"] == "match" else face["decision"] for face in answer["faces"]]


def _steps(events: DemoEvents, account: ReconciliationReport) -> Any:
    from streams.devtools.demo import mean_step_ms

    table = grid("where the time went", "#mean ms")
    for name, mean in mean_step_ms(events, account).items():
        table.add_row(name, f"{mean:.1f}")
    return table
