"""``facestream plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.console import MAINTAIN, Json, Output, grid

if TYPE_CHECKING:
    from streams.operations.sizing.plan import Plan
    from streams.operations.sizing.scaling import Scaled


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan", rich_help_panel=MAINTAIN)(plan)


def plan(
    cameras: Annotated[int, typer.Option(min=1, help="Number of cameras.")],
    fps: Annotated[float, typer.Option(min=0.001, help="Frames a second of each.")],
    subjects: Annotated[float, typer.Option(min=1, help="Enrolled people in all galleries, such as 2e6.")],
    retention_days: Annotated[float, typer.Option(min=0.04, help="Days for which Kafka keeps what went through.")] = 7,
    users: Annotated[
        int | None,
        typer.Option(min=1, help="Owners of galleries. Default: one a camera.", show_default=False),
    ] = None,
    templates: Annotated[float, typer.Option(min=1, help="Enrolment photos of each subject.")] = 1,
    result_ttl_s: Annotated[int, typer.Option(min=1, help="Seconds for which Redis keeps an answer.")] = 86_400,
    p99_ms: Annotated[
        float | None,
        typer.Option("--p99-ms", min=1, help="99 of 100 answers are wanted within so long.", show_default=False),
    ] = None,
    cores: Annotated[int, typer.Option(min=1, help="Processors of a worker.")] = 2,
    worker_gib: Annotated[float, typer.Option("--worker-gib", min=0.5, help="Memory of a worker, in GiB.")] = 8,
    replicas: Annotated[int, typer.Option(min=1, help="Replicas of each topic.")] = 3,
    standbys: Annotated[int, typer.Option(min=0, help="Warm copies of each gallery shard.")] = 1,
    as_json: Json = False,
) -> None:
    """Size a cluster from measured parts: partitions, workers, memory, disk, and what limits it first.

    It asks no service. What was measured where, and what is assumed, comes with the answer; docs/sizing.md explains
    it. It exits with 1, and says why, if there is no such cluster.
    """
    from dataclasses import asdict

    from streams.operations.sizing import demand as wanted
    from streams.operations.sizing import scaling
    from streams.operations.sizing.parts import measured
    from streams.operations.sizing.plan import plan as size
    from streams.operations.sizing.plan import ten_times

    output = Output(as_json)
    parts, origins = measured()
    demand = wanted.Demand(
        cameras=cameras,
        fps=fps,
        subjects=subjects,
        users=users or cameras,
        templates_per_subject=templates,
        retention_days=retention_days,
        result_ttl_s=result_ttl_s,
        p99_ms=p99_ms,
        cores=cores,
        worker_gib=worker_gib,
        replicas=replicas,
        standbys=standbys,
    )
    found, larger = size(demand, parts), ten_times(demand, parts)
    scaled = scaling.table(parts, found.partitions, cores)
    _show(output, found, larger, scaled)
    for sentence in (*wanted.ASSUMPTIONS, *scaling.ASSUMPTIONS):
        output.note(sentence)
    for name, origin in origins.items():
        output.note(f"{name}: {origin.source}, {origin.date}, {origin.machine}")
    result: dict[str, Any] = {
        "demand": asdict(demand),
        **_as_json(found),
        "ten_times": _as_json(larger),
        "scaling": [asdict(one) for one in scaled],
        "assumptions": [*wanted.ASSUMPTIONS],
        "scaling_assumptions": [*scaling.ASSUMPTIONS],
        "measured": {name: asdict(origin) for name, origin in origins.items()},
    }
    output.finish(result)
    if found.impossible:
        for why in found.impossible:
            output.errors.print(f"impossible: {why}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1)


def _as_json(found: Plan) -> dict[str, Any]:
    from dataclasses import asdict

    return {"possible": not found.impossible, **asdict(found), "limits_first": found.limits[0].part}


def _show(output: Output, found: Plan, larger: Plan, scaled: list[Scaled]) -> None:
    table = grid("", "#", "#ten times as large")
    for name, one, ten in zip(_NAMES, _values(found), _values(larger), strict=True):
        table.add_row(name, one, ten)
    output.table(table)
    output.say("")
    limits = grid("what limits it", "#times the demand", "~what helps")
    for limit in found.limits:
        limits.add_row(limit.part, f"{limit.times:,}", limit.remedy)
    output.table(limits)
    for why in larger.impossible:
        output.say(f"Ten times as large: {why}")
    output.say("")
    simulated = grid("workers of each role", "#frames/s in a backlog", "#times one", "#median ms at half", "#99 %")
    for row in scaled:
        values = (row.workers, row.frames_per_s, row.times_one, row.p50_ms, row.p99_ms)
        simulated.add_row(*map(str, values))
    output.table(simulated)
    output.say("The last table is simulated from measured parts.")


_NAMES = (
    *("frames a second", "partitions", "embed workers", "match workers", "sink-redis workers", "sink-bigquery workers"),
    *("GiB of memory", "of which templates", "of which Redis", "GB of the workers' tables"),
    *("seconds to load a shard: new machine", "own disk"),
    *("Kafka brokers", "Kafka MB/s written", "MB/s read", "TB on its disks"),
    *("BigQuery rows a day", "GB a day", "ms from camera to answer: median", "99 %"),
)


def _values(found: Plan) -> list[str]:
    kafka, rows, latency = found.kafka, found.bigquery, found.latency
    numbers = [
        *(found.frames_per_s, found.partitions, *(one.count for one in found.workers.values())),
        *(found.memory_gib, found.gallery_gib, found.redis_gib, found.gallery_disk_gb, *found.recovery_s.values()),
        *(kafka.brokers, kafka.write_mb_per_s, kafka.read_mb_per_s, kafka.disk_tb),
        *(rows.rows_per_day, rows.gb_per_day, latency.p50_ms, latency.p99_ms),
    ]
    return [f"{number:,}" for number in numbers]
