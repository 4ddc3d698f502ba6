"""``facestream bench``: the commands that measure a running system; those of ``bench_models`` measure models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from streams.cli import bench_models, bench_report
from streams.cli.bench_figures import Figures, Runs, Save, beside, in_folder, report, rows_so_far
from streams.cli.bench_tables import (
    commands_table,
    everybody_table,
    fairness_table,
    faults_table,
    latency_table,
    pipeline_table,
    questions_table,
)
from streams.cli.console import MAINTAIN, Json, Output


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = typer.Typer(
        no_args_is_help=True, help="Measure performance; each figure is shown beside a baseline of the same run."
    )
    bench.command("pipeline")(pipeline)
    bench.command("latency")(latency)
    bench.command("faults")(faults)
    bench.command("fairness")(fairness)
    bench.command("replay")(replay)
    bench.command("rollout")(rollout)
    bench.command("questions")(questions)
    bench.command("import")(import_)
    bench.command("recovery")(recovery)
    bench.command("commands")(commands)
    bench.command("search-all")(search_all)
    bench.command("gateway")(gateway)
    bench_models.register(bench)
    bench_report.register(bench)
    app.add_typer(bench, name="bench", rich_help_panel=MAINTAIN)


def pipeline(
    frames: Annotated[int, typer.Option(min=200, help="Frames of each round of the pipeline.")] = 1000,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often the pipeline is measured, and the bare loop before and after it.")
    ] = 3,
    rate: Annotated[
        float, typer.Option(min=0, help="Also measure the cost where so few frames a second come; 0: do not.")
    ] = 0.0,
    seconds: Annotated[float, typer.Option(min=5, help="Seconds for which they come.")] = 60.0,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Measure frames a second end to end (640×480 JPEG, one face), and processor time a frame by part.

    Beside them stands a bare loop of the same models without Kafka.
    """
    from streams.devtools.benchmarks.pipeline import measure

    output = Output(as_json)
    report(
        "pipeline",
        in_folder(lambda folder: measure(folder, frames, rounds, rate, seconds, output.say)),
        output,
        runs=runs,
        save=save,
        show=pipeline_table,
        wrong=("lost", "duplicates"),
    )


def latency(
    share: Annotated[
        float, typer.Option(min=0.05, max=0.95, help="Share of the greatest throughput that is sent.")
    ] = 0.5,
    seconds: Annotated[float, typer.Option(min=5, help="Seconds for which frames are sent at that rate.")] = 30.0,
    frames: Annotated[int, typer.Option(min=100, help="Frames by which the greatest throughput is measured.")] = 1000,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Measure how long frames take from camera to answer, by stage, at a share of the greatest throughput."""
    from streams.devtools.benchmarks.latency import measure

    output = Output(as_json)
    report(
        "latency",
        in_folder(lambda folder: measure(folder, frames, share, seconds, output.say)),
        output,
        runs=runs,
        save=save,
        show=latency_table,
        wrong=("lost", "duplicates"),
    )


def gateway(
    requests: Annotated[int, typer.Option(min=100, help="Requests of a round, of each kind.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, of which the medians count.")] = 5,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Measure requests a second of the HTTP gateway, and of an application with the same routes that does nothing."""
    from streams.devtools.benchmarks.gateway import measure

    output = Output(as_json)

    def rows(folder: Path) -> Iterator[Figures]:
        return measure(folder, requests, rounds, output.say)

    wrong = ("lost", "refused", "about_refused")
    report("gateway", in_folder(rows), output, runs=runs, save=save, wrong=wrong)


def faults(
    only: Annotated[list[str] | None, typer.Option(help="Only the fault of this name; repeatable.")] = None,
    rate: Annotated[float, typer.Option(min=1, help="Events a second meanwhile.")] = 150.0,
    names: Annotated[bool, typer.Option("--list", help="List the faults and exit.")] = False,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Inject one fault after another into a steady stream, and count lost and duplicate events."""
    from streams.devtools.benchmarks.faults import FAULTS, measure

    output = Output(as_json)
    known = [fault.name for fault in FAULTS]
    if names:
        output.say("\n".join(known))
        output.finish({"faults": known})
        return
    if unknown := set(only or []) - set(known):
        raise typer.BadParameter(f"no fault {', '.join(sorted(unknown))}: see --list")

    def rows(folder: Path) -> Iterator[Figures]:
        return rows_so_far(measure(folder, only or known, rate, output.say), "fault", "faults")

    wrong = ("lost", "duplicates")
    report("faults", in_folder(rows), output, runs=runs, save=save, show=faults_table, wrong=wrong)


def fairness(
    events: Annotated[int, typer.Option(min=100, help="Photos or frames of a bulk.")] = 5000,
    rate: Annotated[float, typer.Option(min=1, help="Frames a second of all live cameras.")] = 40.0,
    seconds: Annotated[float, typer.Option(min=5, help="Seconds for which they are watched, each time.")] = 30.0,
    only: Annotated[list[str] | None, typer.Option(help="Only this case; repeatable.")] = None,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Measure how long live frames wait while somebody else sends a bulk of photos or frames."""
    from streams.devtools.benchmarks.fairness import CASES, measure

    output = Output(as_json)
    if unknown := set(only or []) - set(CASES):
        raise typer.BadParameter(f"no case {', '.join(sorted(unknown))}: there are {', '.join(CASES)}")

    def rows(folder: Path) -> Iterator[Figures]:
        return rows_so_far(measure(folder, events, rate, seconds, only or CASES, output.say), "case", "cases")

    wrong = ("lost", "duplicates")
    report("fairness", in_folder(rows), output, runs=runs, save=save, show=fairness_table, wrong=wrong)


def replay(
    events: Annotated[int, typer.Option(min=1000, help="Frames in the log that is replayed.")] = 20_000,
    live: Annotated[float, typer.Option(min=1, help="Live events a second beside a replay.")] = 30.0,
    seconds: Annotated[float, typer.Option(min=5, help="Seconds for which live events are watched, each time.")] = 30.0,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Measure events a second of replays with one worker a role, and live latency with and without a replay."""
    from streams.devtools.benchmarks.replay import measure

    output = Output(as_json)
    report(
        "replay",
        in_folder(lambda folder: measure(folder, events, live, seconds, output.say)),
        output,
        runs=runs,
        save=save,
        wrong=("lost",),
    )


def rollout(
    rate: Annotated[float, typer.Option(min=1, help="Events a second meanwhile.")] = 150.0,
    hold: Annotated[float, typer.Option(min=1, help="Seconds for which each step lasts.")] = 8.0,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Take a new model version from shadow to production and back under load, and count the errors."""
    from streams.devtools.benchmarks.rollout import measure

    output = Output(as_json)
    report(
        "rollout",
        in_folder(lambda folder: measure(folder, rate, hold, 2, output.say)),
        output,
        runs=runs,
        save=save,
        wrong=("lost", "duplicates", "wrong", "flips"),
    )


def questions(
    records: Annotated[int, typer.Option(min=1000, help="Records on each topic.")] = 50_000,
    only: Annotated[list[str] | None, typer.Option(help="Only this question; repeatable.")] = None,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Count the records read to answer small questions on long topics, and those of the whole topics."""
    from streams.devtools.benchmarks.questions import QUESTIONS, measure

    output = Output(as_json)
    if unknown := set(only or []) - set(QUESTIONS):
        raise typer.BadParameter(f"no question {', '.join(sorted(unknown))}: there are {', '.join(QUESTIONS)}")

    def rows(folder: Path) -> Iterator[Figures]:
        return rows_so_far(measure(folder, records, output.say, only or QUESTIONS), "question", "questions")

    report("questions", in_folder(rows), output, runs=runs, save=save, show=questions_table)


def import_(
    templates: Annotated[int, typer.Option(min=100, help="Templates to import.")] = 100_000,
    users: Annotated[int, typer.Option(min=1, help="Users whom they are of.")] = 10,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Import vectors with one match worker: templates a second, and the processor time of each."""
    from streams.devtools.benchmarks.vector_import import measure

    output = Output(as_json)
    report(
        "import",
        in_folder(lambda folder: measure(folder, templates, users, output.say)),
        output,
        runs=runs,
        save=save,
        wrong=("lost",),
    )


def recovery(
    templates: Annotated[int, typer.Option(min=1000, help="Templates of the shard.")] = 100_000,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Time how long match takes to answer from a large shard: with its own disk, on a new machine, and as a standby."""
    from streams.devtools.benchmarks.recovery import measure

    output = Output(as_json)
    report(
        "recovery",
        in_folder(lambda folder: measure(folder, templates, output.say)),
        output,
        runs=runs,
        save=save,
    )


def commands(
    rounds: Annotated[int, typer.Option(min=1, help="How often each command runs; the medians count.")] = 3,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Time the commands of the README on an idle stack: until the first word, and until the end."""
    from streams.devtools.benchmarks.commands import measure

    output = Output(as_json)

    def rows(folder: Path) -> Iterator[Figures]:
        found = measure(folder, rounds, output.say)
        return beside(next(found), rows_so_far(found, "command", "commands"))

    report("commands", in_folder(rows), output, runs=runs, save=save, show=commands_table)


def search_all(
    templates: Annotated[int, typer.Option(min=1000, help="Templates in all shards.")] = 1_000_000,
    shards: Annotated[int, typer.Option(min=1, help="Partitions over which they are spread.")] = 8,
    searches: Annotated[int, typer.Option(min=20, help="Searches one by one, and as many at once.")] = 200,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Measure searches over all users with one worker a role, and what 10 shards of a million each would take."""
    from streams.devtools.benchmarks.search_all import measure

    output = Output(as_json)
    report(
        "search-all",
        in_folder(lambda folder: measure(folder, templates, shards, searches, output.say)),
        output,
        runs=runs,
        save=save,
        show=everybody_table,
        wrong=("lost", "incomplete", "wrong"),
    )
