"""``facestream demo``."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.console import RUN, Json, Output, grid
from streams.text import pluralize

if TYPE_CHECKING:
    from streams.devtools.demo import DemoEvents
    from streams.devtools.reconciliation import ReconciliationReport

_PARTS = ("decode_ms", "detect_ms", "align_ms", "embed_ms")
_TIMEOUT_S = 120.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", rich_help_panel=RUN)(demo)


def demo(
    frames: Annotated[int, typer.Option(min=1, help="Frames to stream.")] = 360,
    fps: Annotated[float, typer.Option(min=0.1, help="Frames a second of all cameras together.")] = 40.0,
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
    """Open it as the demo will, before anything is started."""
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
        stack.add_workers()
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
        result = _result(sent, account)
        _show(sent, account, result, output)
    return result


def _result(sent: DemoEvents, account: ReconciliationReport) -> dict[str, Any]:
    from streams.devtools.demo import score
    from streams.devtools.stats import percentile

    outcomes = Counter(account.answers[one]["outcome"] for one in sent.uploads if one in account.answers)
    latencies = _latencies_ms(sent, account)
    last = max((at for one, at in account.live_at.items() if one in sent.frames), default=sent.began)
    return {
        "photos": len(sent.uploads),
        "enrolled": outcomes["enrolled"],
        "refused": outcomes["refused"],
        "frames": len(sent.frames),
        "results_redis": account.in_redis - sum(outcomes.values()),
        "rows_bigquery": account.in_bigquery - sum(outcomes.values()),
        "lost": account.lost,
        "duplicates": account.duplicates,
        **asdict(score(sent, account.answers)),
        "latency_ms": {"p50": percentile(latencies, 50), "p99": percentile(latencies, 99)},
        "frames_per_s": round(len(sent.frames) / max(1e-3, last - sent.began), 1),
    }


def _latencies_ms(sent: DemoEvents, account: ReconciliationReport) -> list[float]:
    """From the broker's time stamp of each frame to the moment at which its result could be read in Redis."""
    return [
        1000 * (account.live_at[one] - _seconds(account.answers[one]["timings"]["produced_at"]))
        for one in sent.frames
        if one in account.live_at and one in account.answers
    ]


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _show(sent: DemoEvents, account: ReconciliationReport, result: dict[str, Any], output: Output) -> None:
    from streams.cli.charts import histogram

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
    output.say("from Kafka to Redis, milliseconds:\n" + histogram(_latencies_ms(sent, account), "ms"))
    output.table(_where_the_time_went(sent, account))
    output.say(
        f"{pluralize(result['frames'], 'frame')}: {pluralize(result['results_redis'], 'result')} in Redis, "
        f"{pluralize(result['rows_bigquery'], 'row')} in BigQuery, {pluralize(result['lost'], 'event')} lost, "
        f"{result['duplicates']} doubled; {result['correct']} right, "
        f"{result['wrong']} wrong, {result['missed']} missed; p50 {result['latency_ms']['p50']} ms, "
        f"p99 {result['latency_ms']['p99']} ms, {result['frames_per_s']} frames/s"
    )


def _named(answer: dict[str, Any]) -> Sequence[str]:
    return [face["subject_id"] if face["decision"] == "match" else face["decision"] for face in answer["faces"]]


def _where_the_time_went(sent: DemoEvents, account: ReconciliationReport) -> Any:
    """Mean milliseconds of each step of a frame, from its broker to Redis."""
    answers = [(account.answers[one], account.live_at[one]) for one in sent.frames if one in account.live_at]
    steps: dict[str, list[float]] = {}
    for answer, live_at in answers:
        timings = answer["timings"]
        produced, received, embedded = (
            _seconds(timings[name]) for name in ("produced_at", "received_at", "embedded_at")
        )
        matched = _seconds(answer["matched_at"])
        work = sum(timings[part] for part in _PARTS)
        steps.setdefault("wait for embed", []).append(1000 * (received - produced))
        for part in _PARTS:
            steps.setdefault(part.removesuffix("_ms"), []).append(timings[part])
        steps.setdefault("rest of the micro-batch", []).append(1000 * (embedded - received) - work)
        steps.setdefault("to match, and match", []).append(1000 * (matched - embedded))
        steps.setdefault("to Redis", []).append(1000 * (live_at - matched))
    table = grid("where the time went", "#mean ms")
    for name, values in steps.items():
        table.add_row(name, f"{sum(values) / len(values):.1f}")
    return table
