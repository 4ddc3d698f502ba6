"""The commands of ``facestream bench`` that measure models and galleries, without Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.bench_figures import Figures, Runs, Save, in_folder, report, rows_so_far
from streams.cli.bench_tables import corrections_table, gains, peers_table, searches_table
from streams.cli.console import Json, Output, grid, load_settings
from streams.cli.retrain import ArcFace, Compatibility, Precision, make_plan
from streams.retraining.mode import Mode

if TYPE_CHECKING:
    from streams.settings import Settings


def register(bench: typer.Typer) -> None:
    """Add the commands."""
    bench.command("embed")(embed)
    bench.command("detect")(detect)
    bench.command("search")(search)
    bench.command("peer")(peer)
    bench.command("retrain")(retrain)
    bench.command("corrections")(corrections)
    bench.command("train")(train)
    bench.command("drift")(drift)


def embed(
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", help="Folder of a model version. Default: that of FACESTREAM_MODEL_DIR or FACESTREAM_MODEL."
        ),
    ] = None,
    runs: Runs = 1,
    save: Save = False,
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

    report("embed", lambda: measure(loaded), output, runs=runs, save=save, show=show)


def detect(
    rounds: Annotated[int, typer.Option(min=1, help="How often each picture is searched; the medians count.")] = 20,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Search pictures of several sizes for faces, on one thread: processor milliseconds by network."""
    from streams.devtools.benchmarks.detect import measure

    def show(result: Figures, output: Output) -> None:
        table = grid("picture", "~shows", "#ms", "#looks", "~ms by stage")
        for found in result.get("pictures", []):
            stages = ", ".join(f"{stage} {ms}" for stage, ms in found["stages"].items())
            table.add_row(found["size"], found["shows"], str(found["ms"]), str(found["looks"]), stages)
        output.table(table)
        output.say(f"one look of BlazeFace in LiteRT takes {result.get('yardstick_ms')} ms")

    report("detect", lambda: measure(rounds), Output(as_json), runs=runs, save=save, show=show)


def search(
    templates: Annotated[int, typer.Option(min=100, help="Templates of the user.")] = 100_000,
    searches: Annotated[int, typer.Option(min=32, help="Searches of each kind.")] = 100,
    compact: Annotated[
        bool, typer.Option("--compact", help="As `FACESTREAM_COMPACT_GALLERIES` has them: codes in memory.")
    ] = False,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Time searches of a face among the templates of one user, beside other libraries; without Kafka."""
    from streams.devtools.benchmarks.search import measure

    def rows(folder: Path) -> Iterator[Figures]:
        return measure(templates, searches, folder if compact else None)

    report("search", in_folder(rows), Output(as_json), runs=runs, save=save, show=searches_table)


def peer(
    frames: Annotated[int, typer.Option(min=10, help="Frames of 640×480, with one of two people in each.")] = 200,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this library beside facestream; repeatable.", show_default=False)
    ] = None,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Measure frames a second and correct names, beside the usual loops of face_recognition and deepface.

    All are one process without Kafka. The libraries are installed in environments of their own in the user's cache,
    which takes minutes the first time.
    """
    from streams.devtools.benchmarks.peer import PEERS, measure

    output = Output(as_json)
    if unknown := set(only or []) - set(PEERS):
        raise typer.BadParameter(f"no library {', '.join(sorted(unknown))}: there are {', '.join(PEERS)}")

    def rows(folder: Path) -> Iterator[Figures]:
        return rows_so_far(measure(folder, frames, only or list(PEERS), output.say), "peer", "peers")

    report("peer", in_folder(rows), output, runs=runs, save=save, show=peers_table)


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
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Train on some people's pictures, and measure the gain on other people: TAR at FAR 1e-2, with 95 % intervals."""
    output, settings = Output(as_json), _ready_to_train(folders)
    from streams.devtools.benchmarks.retrain import measure

    plan = make_plan(seed, steps, arc_face, compatibility, precision)
    settings = settings.model_copy(update={"model_dir": model or settings.model_dir})
    report(
        "retrain",
        lambda: measure(folders, plan, folds, settings, output.warn, mode=mode.value),
        output,
        runs=runs,
        save=save,
        show=gains,
    )


def corrections(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR…", help="Pictures as DIR/<person>/*.")],
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed for the folds, the degraded pictures and the steps.")
    ] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Most steps of each training.")] = None,
    weight: Annotated[
        float | None, typer.Option(min=0, help="Weight of the corrected faces. Default: the plan's.")
    ] = None,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Correct each face that was taken for somebody else, and measure the gain of learning from that."""
    output, settings = Output(as_json), _ready_to_train(folders)
    from streams.devtools.benchmarks.corrections import measure

    plan = make_plan(seed, steps, 0.0, 0.0, "float32")
    if weight is not None:
        plan = plan.model_copy(update={"corrections": weight})

    report(
        "corrections",
        lambda: measure(folders, plan, settings, output.warn),
        output,
        runs=runs,
        save=save,
        show=corrections_table,
    )


def train(
    steps: Annotated[int, typer.Option(min=5, help="Steps of each training.")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Faces of each worker in each step.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="How often each number of workers is measured.")] = 2,
    runs: Runs = 1,
    save: Save = False,
    as_json: Json = False,
) -> None:
    """Measure training samples a second with one and with two workers of one thread each."""
    from streams.devtools.benchmarks.train import measure

    output = Output(as_json)
    figures = in_folder(lambda folder: measure(folder, steps, batch, rounds, output.warn))
    result = report("train", figures, output, runs=runs, save=save)
    if not result["weights_identical"]:
        raise typer.Exit(1)


def drift(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR…", help="Pictures as DIR/<person>/*; each folder is a camera.")
    ],
    frames: Annotated[int, typer.Option(min=500, help="Normal frames of each camera.")] = 10_000,
    stay: Annotated[float, typer.Option(min=1, help="Mean number of consecutive frames of one person.")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the people and the degraded pictures.")] = 0,
    runs: Runs = 1,
    save: Save = False,
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

    def figures() -> Iterator[Figures]:
        return measure(folders, load_settings(), frames=frames, stay=stay, seed=seed, say=output.warn)

    report("drift", figures, output, runs=runs, save=save, show=show)


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
