"""``facestream retrain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streams.cli.console import MAINTAIN, Json, Output, grid, load_settings
from streams.retraining.mode import Mode
from streams.text import pluralize

if TYPE_CHECKING:
    from models.embedder.card import Card, ChipGeometry, Source
    from models.training.cluster import Cluster
    from models.training.history import TrainingProgress
    from models.training.plan import TrainingPlan
    from models.training.samples import Correction, Sample
    from streams.settings import Settings
    from streams.training_data.training_set import TrainingSetRead

ArcFace = Annotated[
    float, typer.Option(min=0, help="Weight of the angular-margin loss over people, see docs/models.md.")
]
Compatibility = Annotated[
    float, typer.Option(min=0, help="Weight of the loss against the old version's people: new probes, old templates.")
]
Precision = Annotated[
    Literal["float32", "mixed_bfloat16"], typer.Option(help="Precision of the convolutions in training.")
]

_PREPARED_S = 3_600.0
"""How long the first process may read and embed faces before the others give up."""


class TooFewPeople(Exception):
    """Nothing was trained, since the version could not take over; the message says what is lacking."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("retrain", rich_help_panel=MAINTAIN)(retrain)


def retrain(
    folders: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Learn from the pictures in DIR/<person>/* instead; may be repeated."),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="full: the network's first layers. head: a small network behind its vectors; quick.")
    ] = Mode.FULL,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that train together, with --mode full.")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Most steps, with --mode full.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and faces make the same version.")] = 0,
    arc_face: ArcFace = 0.0,
    compatibility: Compatibility = 0.0,
    precision: Precision = "float32",
    parent: Annotated[
        Path | None,
        typer.Option(help="Folder of the version to start from. Default: the one in production."),
    ] = None,
    up_to: Annotated[
        Path | None,
        typer.Option(help="Folder of a version: learn from the faces before the offsets on its card."),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV with the groups of people or pictures; each is measured. Default: FACESTREAM_RETRAIN_GROUPS.",
        ),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Train although the version may not take over, for too few people.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a model version on the faces whose people agreed to it, and measure it on people it has not met.

    Nothing is trained if there are too few people or faces for the version to take over: the command says what is
    lacking. The version is written to FACESTREAM_MODELS_DIR; `facestream models rollout` puts it into production. If
    TF_CONFIG names several workers, as in the Kubernetes Job, this process is one of them, and the first one writes
    the version.
    """
    from models.training.cluster import Cluster

    output = Output(as_json)
    settings = load_settings()
    cluster = Cluster.from_environment()
    if cluster is not None and cluster.index > 0:
        _take_part(cluster, settings, output)
        return

    from models.embedder.card import Card
    from models.training.sides import sides_of
    from streams.retraining.job_main import production
    from streams.retraining.train import TrainRequest, TrainStarted, train

    before = Card.read(up_to).lineage if up_to else None
    if up_to and (folders or before is None or not before.source.offsets):
        raise typer.BadParameter("--up-to takes a version that was trained on the topics, and goes without --from")
    parent = parent or (settings.chosen_model_dir if folders else production(settings))
    if folders:
        samples, source = _from_folders(folders, parent, settings, output)
        corrections: list[Correction] = []
    else:
        geometry = Card.read(parent).chip
        read = _from_topics(geometry, before.source if before else None, settings, output)
        samples, corrections, source = read.samples, read.corrections, read.source
    if not anyway and (lacking := sides_of(samples).shortfall()):
        raise TooFewPeople(f"{lacking}. --anyway trains all the same")
    plan = make_plan(seed, steps, arc_face, compatibility, precision)
    with output.progress() as progress:
        task = progress.add_task("training", total=plan.steps, note="")

        def begin(started: TrainStarted) -> None:
            output.say(f"{pluralize(started.faces, 'face')} of {pluralize(started.people, 'person', 'people')}")
            output.say(f"training {started.version}")

        def tell(now: TrainingProgress) -> None:
            note = f"loss {now.loss:.4f}, {now.samples_per_s:.0f} faces/s"
            progress.update(task, completed=now.step, note=note)

        groups = groups or settings.retrain_groups
        request = TrainRequest(mode, parent, workers, plan, settings.cpu_threads, groups, cluster)
        made = train(settings.versions_dir, samples, source, request, corrections=corrections, begin=begin, say=tell)
    assert made.card.lineage is not None
    _show(made.card, made.folder, made.refusals, output)
    output.finish(
        {"version": made.card.version, "folder": str(made.folder)}
        | {"accepted": not made.refusals, "refusals": made.refusals}
        | {"lineage": made.card.lineage.model_dump(mode="json")}
    )


def make_plan(
    seed: int, steps: int | None, arc_face: float, compatibility: float, precision: Literal["float32", "mixed_bfloat16"]
) -> TrainingPlan:
    """The plan that the options ask for."""
    from models.training.plan import TrainingPlan

    at_most = TrainingPlan().steps if steps is None else steps
    return TrainingPlan(seed=seed, steps=at_most, arc_face=arc_face, compatibility=compatibility, precision=precision)


def _take_part(cluster: Cluster, settings: Settings, output: Output) -> None:
    """Train with the others; the first of them says of what."""
    from models.training.launch import launch

    settings.versions_dir.mkdir(parents=True, exist_ok=True)
    output.say(f"waiting for {cluster.addresses[0]} to prepare the training")
    run, old_folder = cluster.await_run(settings.versions_dir, _PREPARED_S)
    launch(run, old_folder, cluster=cluster, threads=settings.cpu_threads or 0)
    output.say(
        f"worker {cluster.index} of {len(cluster.addresses)} has ended; {cluster.addresses[0]} makes the version"
    )
    output.finish({"worker": cluster.index, "workers": len(cluster.addresses)})


def _from_topics(geometry: ChipGeometry, before: Source | None, settings: Settings, output: Output) -> TrainingSetRead:
    from streams.training_data.training_set import read_training_set, until_of

    read = read_training_set(settings, geometry, until_of(before, settings) if before else None)
    confirmed = read.confirmed
    if read.ended:
        output.warn(f"{pluralize(read.ended, 'face is', 'faces are')} left out, since their consent has ended")
    if read.unreadable:
        output.warn(f"{pluralize(read.unreadable, 'message')} passed over, since they hold no face to learn from")
    if confirmed.gone:
        output.warn(
            f"{pluralize(confirmed.gone, 'confirmed face is', 'confirmed faces are')} left out: the frame is gone"
        )
    return read


def _from_folders(folders: list[Path], parent: Path, settings: Settings, output: Output) -> tuple[list[Sample], Source]:
    from models.analysis.analyzer import Analyzer
    from models.embedder.card import Source
    from models.embedder.model import Model
    from models.training.samples import from_folders

    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise typer.BadParameter(f"there is no folder {str(missing[0])!r}")
    analyzer = Analyzer(Model.load(parent, threads=settings.cpu_threads), threads=settings.cpu_threads)
    with output.progress() as progress:
        task = progress.add_task("pictures", total=None, note="")
        samples, skipped = from_folders(
            analyzer, folders, lambda done, total: progress.update(task, completed=done, total=total)
        )
    analyzer.close()
    for picture, reason in skipped.items():
        output.warn(f"{picture}: {reason}")
    return samples, Source(folders=tuple(str(folder) for folder in folders))


def _show(card: Card, folder: Path, refusals: list[str], output: Output) -> None:
    assert card.lineage is not None
    table = grid("TAR at FAR 1e-2 on other people", "#before", "#after", "#95 % interval")
    for kind, one in card.lineage.measured.items():
        table.add_row(kind, f"{one.before:.3f}", f"{one.after:.3f}", f"{one.interval[0]:.3f} to {one.interval[1]:.3f}")
    output.table(table)
    output.say(f"{card.version} is in {folder}")
    for refusal in refusals:
        output.warn(f"it must not take over: {refusal}")
    if not refusals:
        output.say(f"it may take over: facestream models rollout {card.version} --auto")
