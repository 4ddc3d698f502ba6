"""``facestream bench``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.bench_tables import (
    commands_table,
    corrections_table,
    fairness_table,
    faults_table,
    gains,
    questions_table,
    searches_table,
)
from streams.cli.console import MAINTAIN, Json, Output, grid, load_settings
from streams.cli.retrain import ArcFace, Compatibility, Precision, make_plan
from streams.retraining.mode import Mode

if TYPE_CHECKING:
    from streams.settings import Settings

Figures = Mapping[str, Any]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = typer.Typer(
        no_args_is_help=True, help="Measure performance; each figure is shown beside a baseline of the same run."
    )
    bench.command("pipeline")(pipeline)
    bench.command("embed")(embed)
    bench.command("faults")(faults)
    bench.command("fairness")(fairness)
    bench.command("replay")(replay)
    bench.command("rollout")(rollout)
    bench.command("retrain")(retrain)
    bench.command("corrections")(corrections)
    bench.command("train")(train)
    bench.command("drift")(drift)
    bench.command("search")(search)
    bench.command("questions")(questions)
    bench.command("commands")(commands)
    app.add_typer(bench, name="bench", rich_help_panel=MAINTAIN)


def pipeline(
    frames: Annotated[int, typer.Option(min=200, help="Frames to send through Kafka.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="How often the bare loop is measured, before and after.")] = 2,
    as_json: Json = False,
) -> None:
    """Measure frames a second end to end (640×480 JPEG, one face), and those of a bare loop without Kafka."""
    import tempfile

    from streams.devtools.benchmarks.pipeline import measure

    output = Output(as_json)
    with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
        _measure(measure(Path(folder), frames, rounds, output.say), output, wrong=("lost", "duplicates"))


def embed(
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", help="Folder of a model version. Default: that of FACESTREAM_MODEL_DIR or FACESTREAM_MODEL."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Embed faces with one model version, in batches of 1, 8 and 32: faces a second on all cores."""
    output, settings = Output(as_json), load_settings()
    from models.embedder.model import Model
    from streams.devtools.benchmarks.embed import measure

    loaded = Model.load(model or settings.chosen_model_dir, threads=settings.cpu_threads)

    def show(result: Figures, output: Output) -> None:
        table = grid("faces in a batch", "#faces a second")
        for count, found in result.get("batch", {}).items():
            table.add_row(count, str(found["images_per_s"]))
        output.table(table)

    _measure(measure(loaded), output, show=show)


def faults(
    only: Annotated[list[str] | None, typer.Option(help="Only the fault of this name; repeatable.")] = None,
    rate: Annotated[float, typer.Option(min=1, help="Events a second meanwhile.")] = 150.0,
    names: Annotated[bool, typer.Option("--list", help="List the faults and exit.")] = False,
    as_json: Json = False,
) -> None:
    """Inject one fault after another into a steady stream, and count lost and duplicate events."""
    import tempfile

    from streams.devtools.benchmarks.faults import FAULTS, measure

    output = Output(as_json)
    known = [fault.name for fault in FAULTS]
    if names:
        output.say("\n".join(known))
        output.finish({"faults": known})
        return
    if unknown := set(only or []) - set(known):
        raise typer.BadParameter(f"no fault {', '.join(sorted(unknown))}: see --list")
    with tempfile.TemporaryDirectory(prefix="facestream-faults-") as folder:
        rows = measure(Path(folder), only or known, rate, output.say)
        result = _measure(_rows_so_far(rows, "fault", "faults"), output, show=faults_table)
    if any(row.get("lost") or row.get("duplicates") for row in result["faults"]):
        raise typer.Exit(1)


def fairness(
    events: Annotated[int, typer.Option(min=100, help="Photos or frames of a bulk.")] = 5000,
    rate: Annotated[float, typer.Option(min=1, help="Frames a second of all live cameras.")] = 40.0,
    seconds: Annotated[float, typer.Option(min=5, help="Seconds for which they are watched, each time.")] = 30.0,
    only: Annotated[list[str] | None, typer.Option(help="Only this case; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Measure how long live frames wait while somebody else sends a bulk of photos or frames."""
    import tempfile

    from streams.devtools.benchmarks.fairness import CASES, measure

    output = Output(as_json)
    if unknown := set(only or []) - set(CASES):
        raise typer.BadParameter(f"no case {', '.join(sorted(unknown))}: there are {', '.join(CASES)}")
    with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
        rows = measure(Path(folder), events, rate, seconds, only or CASES, output.say)
        result = _measure(_rows_so_far(rows, "case", "cases"), output, show=fairness_table)
    if any(row.get("lost") or row.get("duplicates") for row in result["cases"]):
        raise typer.Exit(1)


def replay(
    events: Annotated[int, typer.Option(min=1000, help="Frames in the log that is replayed.")] = 20_000,
    live: Annotated[float, typer.Option(min=1, help="Live events a second beside a replay.")] = 30.0,
    seconds: Annotated[float, typer.Option(min=5, help="Seconds for which live events are watched, each time.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Measure events a second of replays with one worker a role, and live latency with and without a replay."""
    import tempfile

    from streams.devtools.benchmarks.replay import measure

    output = Output(as_json)
    with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
        _measure(measure(Path(folder), events, live, seconds, output.say), output, wrong=("lost",))


def rollout(
    rate: Annotated[float, typer.Option(min=1, help="Events a second meanwhile.")] = 150.0,
    hold: Annotated[float, typer.Option(min=1, help="Seconds for which each step lasts.")] = 8.0,
    as_json: Json = False,
) -> None:
    """Take a new model version from shadow to production and back under load, and count the errors."""
    import tempfile

    from streams.devtools.benchmarks.rollout import measure

    output = Output(as_json)
    with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
        _measure(
            measure(Path(folder), rate, hold, 2, output.say), output, wrong=("lost", "duplicates", "wrong", "flips")
        )


def retrain(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR…", help="Pictures as DIR/<person>/*.")],
    folds: Annotated[
        int, typer.Option(min=2, help="Number of trainings; each is measured on people it has not seen.")
    ] = 3,
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed for the folds, the degraded pictures and the steps.")
    ] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Most steps of each training.")] = None,
    arc_face: ArcFace = 0.0,
    compatibility: Compatibility = 0.0,
    precision: Precision = "float32",
    mode: Annotated[
        Mode, typer.Option(help="full: the network's first layers. head: a small network behind its vectors; quick.")
    ] = Mode.FULL,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the version to start from. Default: that of FACESTREAM_MODEL_DIR or FACESTREAM_MODEL."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train on some people's pictures, and measure the gain on other people: TAR at FAR 1e-2, with 95 % intervals."""
    output, settings = Output(as_json), _ready_to_train(folders)
    from streams.devtools.benchmarks.retrain import measure

    plan = make_plan(seed, steps, arc_face, compatibility, precision)
    settings = settings.model_copy(update={"model_dir": model or settings.model_dir})
    _measure(measure(folders, plan, folds, settings, output.warn, mode=mode.value), output, show=gains)


def corrections(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR…", help="Pictures as DIR/<person>/*.")],
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed for the folds, the degraded pictures and the steps.")
    ] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Most steps of each training.")] = None,
    weight: Annotated[
        float | None, typer.Option(min=0, help="Weight of the corrected faces. Default: the plan's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Correct each face that was taken for somebody else, and measure the gain of learning from that."""
    output, settings = Output(as_json), _ready_to_train(folders)
    from streams.devtools.benchmarks.corrections import measure

    plan = make_plan(seed, steps, 0.0, 0.0, "float32")
    if weight is not None:
        plan = plan.model_copy(update={"corrections": weight})

    _measure(measure(folders, plan, settings, output.warn), output, show=corrections_table)


def train(
    steps: Annotated[int, typer.Option(min=5, help="Steps of each training.")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Faces of each worker in each step.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="How often each number of workers is measured.")] = 2,
    as_json: Json = False,
) -> None:
    """Measure training samples a second with one and with two workers of one thread each."""
    import tempfile

    from streams.devtools.benchmarks.train import measure

    output = Output(as_json)
    with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
        result = _measure(measure(Path(folder), steps, batch, rounds, output.warn), output)
    if not result["weights_identical"]:
        raise typer.Exit(1)


def drift(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR…", help="Pictures as DIR/<person>/*; each folder is a camera.")
    ],
    frames: Annotated[int, typer.Option(min=500, help="Normal frames of each camera.")] = 10_000,
    stay: Annotated[float, typer.Option(min=1, help="Mean number of consecutive frames of one person.")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the people and the degraded pictures.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure frames until a degraded camera raises an alarm, and alarms of a normal one; without Kafka."""
    from streams.devtools.benchmarks.drift import measure

    output = Output(as_json)
    _check(folders)

    def show(result: Figures, output: Output) -> None:
        table = grid("degraded by", "#frames to the alarm", "~what alarmed")
        for kind, found in result.get("degraded", {}).items():
            table.add_row(kind, str(found["frames_to_alarm"] or "none"), ", ".join(found["measures"]))
        output.table(table)
        summary = f"{result.get('false_alarms')} alarms in {frames} normal frames of each of {len(folders)} cameras"
        output.say(summary)

    figures = measure(folders, load_settings(), frames=frames, stay=stay, seed=seed, say=output.warn)
    _measure(figures, output, show=show)


def search(
    templates: Annotated[int, typer.Option(min=100, help="Templates of the user.")] = 100_000,
    searches: Annotated[int, typer.Option(min=32, help="Searches of each kind.")] = 100,
    as_json: Json = False,
) -> None:
    """Time searches of a face among the templates of one user, beside other libraries; without Kafka."""
    from streams.devtools.benchmarks.search import measure

    _measure(measure(templates, searches), Output(as_json), show=searches_table)


def questions(
    records: Annotated[int, typer.Option(min=1000, help="Records on each topic.")] = 50_000,
    only: Annotated[list[str] | None, typer.Option(help="Only this question; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Count the records read to answer small questions on long topics, and those of the whole topics."""
    import tempfile

    from streams.devtools.benchmarks.questions import QUESTIONS, measure

    output = Output(as_json)
    if unknown := set(only or []) - set(QUESTIONS):
        raise typer.BadParameter(f"no question {', '.join(sorted(unknown))}: there are {', '.join(QUESTIONS)}")

    with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
        rows = measure(Path(folder), records, output.say, only or QUESTIONS)
        _measure(_rows_so_far(rows, "question", "questions"), output, show=questions_table)


def commands(
    rounds: Annotated[int, typer.Option(min=1, help="How often each command runs; the medians count.")] = 3,
    as_json: Json = False,
) -> None:
    """Time the commands of the README on an idle stack: until the first word, and until the end."""
    import tempfile

    from streams.devtools.benchmarks.commands import measure

    output = Output(as_json)
    with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
        found = measure(Path(folder), rounds, output.say)
        baseline = next(found)
        _measure(_beside(baseline, _rows_so_far(found, "command", "commands")), output, show=commands_table)


def _check(folders: Sequence[Path]) -> None:
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise typer.BadParameter(f"there is no folder {str(missing[0])!r}")


def _ready_to_train(folders: Sequence[Path]) -> Settings:
    """Check the folders, and load TensorFlow before Keras does, with its start-up notes."""
    from models.embedder import runtime

    _check(folders)
    settings = load_settings()
    runtime.tensorflow(settings.cpu_threads)
    return settings


def _measure(
    figures: Iterator[Figures],
    output: Output,
    *,
    show: Callable[[Figures, Output], None] | None = None,
    wrong: Sequence[str] = (),
) -> Figures:
    """Print figures as they come and all of them at the end, even if Ctrl-C or a failure ends it early.

    Args:
        figures: of a bench.
        output: where they go.
        show: shows all of them to people; None: names and values.
        wrong: figures that fail the command unless they are 0.

    Raises:
        typer.Exit: with 1: a row could not be measured, or something is wrong.
    """
    from streams.devtools.benchmarks.rows import NOT_MEASURED, merge

    result: dict[str, Any] = {}
    try:
        with closing(figures):  # type: ignore[type-var]
            for found in figures:
                for name, value in found.items():
                    if name != NOT_MEASURED and result.get(name) != value:
                        output.say(f"{name.replace('_', ' ')}: {_last(value)}")
                for row, why in found.get(NOT_MEASURED, {}).items():
                    output.say(f"{row}: could not be measured: {why}")
                merge(result, found)
    finally:
        if result:
            (show or _show)(result, output)
            output.finish(result)
    if result.get(NOT_MEASURED) or any(result.get(name) for name in wrong):
        raise typer.Exit(1)
    return result


def _rows_so_far(rows: Iterator[Figures], name: str, all_of_them: str) -> Iterator[Figures]:
    """Rows as one figure that grows; a row that failed has only its name and the reason."""
    from streams.devtools.benchmarks.rows import NOT_MEASURED

    seen: list[Figures] = []
    for row in rows:
        missing = row.get(NOT_MEASURED, {})
        seen += [{name: one, NOT_MEASURED: why} for one, why in missing.items()] or [row]
        yield {all_of_them: list(seen)} | ({NOT_MEASURED: missing} if missing else {})


def _beside(first: Figures, rest: Iterator[Figures]) -> Iterator[Figures]:
    """Figures that begin with some that are known."""
    yield first
    yield from rest


def _last(value: object) -> object:
    """The new part of a figure that grows."""
    return value[-1] if isinstance(value, list) and value and isinstance(value[-1], dict) else value


def _show(result: Figures, output: Output) -> None:
    """Show names and values."""
    table = grid("", "#")
    for name, value in result.items():
        table.add_row(name, str(value))
    output.table(table)
