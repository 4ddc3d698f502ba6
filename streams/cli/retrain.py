"""``facestream retrain``."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console import MAINTAIN, Json, Output, grid, load_settings

if TYPE_CHECKING:
    from models.card import Card, Source
    from models.training.history import Progress
    from models.training.plan import Plan
    from models.training.samples import Sample
    from streams.settings import Settings


class Mode(StrEnum):
    """What is trained."""

    HEAD = "head"
    FULL = "full"


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
    steps: Annotated[int | None, typer.Option(min=1, help="At most so many, with --mode full.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and faces make the same version.")] = 0,
    parent: Annotated[
        Path | None,
        typer.Option(help="Folder of the version to start from. Default: FACESTREAM_MODEL_DIR, or the reference."),
    ] = None,
    up_to: Annotated[
        Path | None,
        typer.Option(help="Folder of a version: learn from the faces before the offsets on its card."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a model version on the faces whose people agreed to it, and measure it on people it has not met.

    The version is put beside the others in the folder `models` of FACESTREAM_HOME; nothing uses it yet.
    """
    from models import runtime

    output = Output(as_json)
    settings = load_settings()
    runtime.tensorflow(settings.cpu_threads)

    from models.card import Card
    from models.model import REFERENCE
    from models.training import gate
    from models.training.plan import Plan
    from models.training.retrain import retrain
    from models.training.samples import TrainingSet

    before = Card.read(up_to).lineage if up_to else None
    if up_to and (folders or before is None or not before.source.offsets):
        raise typer.BadParameter("--up-to takes a version that was trained on the topic, and goes without --from")
    parent = parent or settings.model_dir
    old = Card.read(parent or REFERENCE)
    if folders:
        samples, source = _from_folders(folders, parent, settings, output)
    else:
        samples, source = _from_topic(before.source if before else None, settings, output)
    known = TrainingSet.of(samples, old.chip.size)
    output.say(f"{len(known)} faces of {len(known.people)} people")
    plan = Plan(seed=seed) if steps is None else Plan(seed=seed, steps=steps)
    version = _name(old.version, mode, known.digest, plan)
    output.say(f"training {version}")
    with output.progress() as progress:
        task = progress.add_task("training", total=plan.steps, note="")

        def tell(now: Progress) -> None:
            note = f"loss {now.loss:.4f}, {now.samples_per_s:.0f} faces/s"
            progress.update(task, completed=now.step, note=note)

        card = retrain(
            settings.versions_dir,
            version,
            known,
            mode="head" if mode is Mode.HEAD else "full",
            old_folder=parent,
            plan=plan,
            workers=workers,
            source=source,
            say=tell,
        )
    assert card.lineage is not None
    refusals = gate.refusals(card.lineage)
    folder = settings.versions_dir / version
    _show(card, folder, refusals, output)
    output.finish(
        {"version": version, "folder": str(folder), "accepted": not refusals, "refusals": refusals}
        | {"lineage": card.lineage.model_dump(mode="json")}
    )


def _name(parent: str, mode: Mode, digest: str, plan: Plan) -> str:
    """The same for the same parent, faces and settings."""
    made_of = json.dumps([parent, mode, digest, plan.model_dump(mode="json")], sort_keys=True)
    return f"{mode}-{hashlib.sha256(made_of.encode()).hexdigest()[:10]}"


def _from_topic(before: Source | None, settings: Settings, output: Output) -> tuple[list[Sample], Source]:
    from models.card import Source
    from streams.topics import Topic
    from streams.training_set import read_chips

    topic = Topic.CHIPS.named(settings)
    read = read_chips(settings, before.offsets.get(topic, {}) if before else None)
    if read.ended:
        output.warn(f"{read.ended} faces are left out, since the consent to them has ended")
    if read.unreadable:
        output.warn(f"{read.unreadable} messages are no faces to learn from, and were passed over")
    return read.samples, Source(offsets={topic: read.ends})


def _from_folders(
    folders: list[Path], parent: Path | None, settings: Settings, output: Output
) -> tuple[list[Sample], Source]:
    from models.analyzer import Analyzer
    from models.card import Source
    from models.model import Model
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
        output.say("it may take over: point FACESTREAM_MODEL_DIR of embed and match there")
