"""``facestream models shadow|canary|promote|rollback|retire|fill|report|rollout|import``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from models.embedder.references import Reference
from streams.cli.console import Json, Output, grid, load_settings
from streams.roles import Embedder
from streams.text import pluralize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.rollout import ModelRecord
    from streams.rollout.report import Report
    from streams.rollout.retirement import RetirementCost
    from streams.rollout.vector_sources import VectorSource
    from streams.settings import Settings


def named(version: str) -> str:
    """The name of a version; `accurate` and `fast` stand for those of the reference models."""
    if version not in tuple(Reference):
        return version
    from models.embedder.card import Card

    return Card.read(Reference(version).folder).version


Version = Annotated[
    str,
    typer.Argument(
        metavar="VERSION",
        callback=named,
        help="Name of the version, see `facestream models list`; `accurate` or `fast` for a reference model.",
    ),
]
Reason = Annotated[str, typer.Option(help="The reason, which is kept with the record.")]
Force = Annotated[bool, typer.Option("--force", help="Overrule the gate.")]
Rate = Annotated[float | None, typer.Option(min=0.1, help="Most templates a second. Default: no limit.")]
NoFill = Annotated[bool, typer.Option("--no-fill", help="Do not make the templates now; see `facestream models fill`.")]
Cheap = Annotated[Embedder, typer.Option("--embedder", hidden=True, help="The embedder of the embed workers.")]


def register(models: typer.Typer) -> None:
    """Add the commands to the group ``models``."""
    models.command("import")(import_)
    for command in (shadow, canary, promote, rollback, retire, fill, report, rollout):
        models.command(command.__name__)(command)


def import_(
    folder: Annotated[Path, typer.Argument(help="Folder with card.json and the weights that it names.")],
    as_json: Json = False,
) -> None:
    """Add a model version of your own, after loading and trying it."""
    from streams.model_registry.importing import import_version

    output = Output(as_json)
    imported = import_version(folder, load_settings())
    version = imported.version
    if imported.known_as is None:
        output.say(f"{version} is in {imported.folder}: try it with `facestream models shadow {version}`")
    else:
        output.say(f"{version} is {imported.known_as} already: there is nothing to import")
    output.finish({"version": version, "folder": str(imported.folder)})


def shadow(
    version: Version,
    force: Force = False,
    reason: Reason = "",
    no_fill: NoFill = False,
    rate: Rate = None,
    embedder: Cheap = Embedder.MODEL,
    as_json: Json = False,
) -> None:
    """Let a version decide in the shadow of the one that answers; its results are in `comparisons` only."""
    from streams.model_registry import records, transitions
    from streams.rollout.vector_sources import open_sources

    output, settings = Output(as_json), load_settings()
    card = records.find_card(version, settings)

    def begin() -> ModelRecord:
        return records.apply(settings, lambda registry: transitions.shadow(registry, card, force=force, reason=reason))

    if no_fill:
        _told(begin(), output, {"filled": None})
        return
    # Loaded here first: a version that cannot be loaded does not become a shadow.
    with open_sources(settings, version, embedder) as sources:
        record = begin()
        made = _fill(settings, version, sources, rate, output)
    _told(record, output, {"filled": made})


def canary(
    version: Version,
    percent: Annotated[float, typer.Option(help="Share of the users in percent, by the hash of their names.")],
    force: Force = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Let a version answer for a share of the users; each user meets one version only."""
    from streams.model_registry import records, transitions

    output, settings = Output(as_json), load_settings()
    card = records.find_card(version, settings)
    _told(
        records.apply(
            settings, lambda registry: transitions.canary(registry, card, percent, force=force, reason=reason)
        ),
        output,
        {},
    )


def promote(version: Version, force: Force = False, reason: Reason = "", as_json: Json = False) -> None:
    """Let a version answer for everybody; the previous version is kept for a rollback."""
    from streams.model_registry import records, transitions

    output, settings = Output(as_json), load_settings()
    card = records.find_card(version, settings)
    _told(
        records.apply(settings, lambda registry: transitions.promote(registry, card, force=force, reason=reason)),
        output,
        {},
    )


def rollback(reason: Reason = "", as_json: Json = False) -> None:
    """Undo the last step: end the canary or the shadow, or let the previous version answer again."""
    from streams.model_registry import records, transitions

    output, settings = Output(as_json), load_settings()
    _told(records.apply(settings, lambda registry: transitions.rollback(registry, reason=reason)), output, {})


def retire(
    version: Version,
    force: Annotated[bool, typer.Option("--force", help="Retire it even if people have to enrol again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list who would have to enrol again.")] = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Retire a version: its templates are removed, and a rollback to it is not possible.

    It is refused if subjects have templates of this version only, and no kept face or photo to make others from: they
    would need a new enrolment photo. On a terminal you are asked; --force retires it all the same. Until then they are
    answered by this version, which may be kept for as long as you like. `facestream subjects list` shows them before
    and afterwards.
    """
    from streams.model_registry import records
    from streams.rollout import retirement

    output, settings = Output(as_json), load_settings()
    card = records.find_card(version, settings)
    if dry_run:
        lost = retirement.cost(settings, card)
        _tell_cost(lost, output)
        output.finish({"version": version, "dry_run": True} | _cost_as_json(lost))
        return
    if not force and not as_json and sys.stdin.isatty() and (lost := retirement.cost(settings, card)).subjects:
        _tell_cost(lost, output)
        force = typer.confirm(f"Retire {version}, although they need a new photo?", err=True, abort=True)
    record, lost = retirement.retire(settings, card, force=force, reason=reason)
    if lost.subjects:
        need = pluralize(len(lost.subjects), "subject needs", "subjects need")
        output.warn(f"{need} a new enrolment photo now: `facestream subjects list` shows them as enrol_again")
    _told(record, output, _cost_as_json(lost))


def fill(version: Version, rate: Rate = None, embedder: Cheap = Embedder.MODEL, as_json: Json = False) -> None:
    """Backfill a version's missing templates from old vectors, chips or uploads, during operation."""
    from streams.rollout.vector_sources import open_sources

    output, settings = Output(as_json), load_settings()
    with open_sources(settings, version, embedder) as sources:
        output.finish({"version": version} | _fill(settings, version, sources, rate, output))


def report(
    version: Version,
    since: Annotated[str, typer.Option("--from", help="The earliest: ISO 8601, -10m, -2h, -3d.")] = "-1h",
    as_json: Json = False,
) -> None:
    """Compare a version with the other one: disagreement, unknown rate, margin, latency.

    What came before the version began in the shadow does not count; nor do replays.
    """
    from schemas.as_json import time_text
    from schemas.clock import utc_now
    from streams.replay.times import parse_time
    from streams.rollout import report as shadow_report

    output, settings = Output(as_json), load_settings()
    start, began = parse_time(since, utc_now()), shadow_report.shadow_began(settings, version)
    if began is not None and began > start:
        start = began
        output.say(f"counted from {start:%Y-%m-%d %H:%M:%S} UTC, when {version} began")
    found = shadow_report.report(settings, version, start)
    _show(found, output)
    output.finish(asdict(found) | {"from": time_text(start)})


def rollout(
    version: Version,
    auto: Annotated[bool, typer.Option("--auto", help="Take every step without asking.")] = False,
    hold: Annotated[float, typer.Option(min=1, help="Seconds for which each step is watched.")] = 600,
    steps: Annotated[str, typer.Option(help="Shares of the users in percent, one after the other.")] = "1,5,25",
    min_frames: Annotated[int, typer.Option(min=1, help="Frames to compare before the version answers anybody.")] = 200,
    max_disagreement: Annotated[
        float, typer.Option(min=0, max=1, help="Largest share of faces that the versions decide differently.")
    ] = 0.05,
    force: Force = False,
    rate: Rate = None,
    embedder: Cheap = Embedder.MODEL,
    as_json: Json = False,
) -> None:
    """Bring a version into production in steps, each watched; roll back when a gate is violated.

    If it is interrupted, the version stays in its state; running the command again resumes the rollout.
    """
    from streams.model_registry import records
    from streams.rollout.controller import Pace, RolloutStep
    from streams.rollout.controller import run_rollout as run
    from streams.rollout.gates import Gates
    from streams.rollout.vector_sources import open_sources

    output, settings = Output(as_json), load_settings()
    try:
        percents = [float(part) for part in steps.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(f"{steps!r} is no list of shares, such as 1,5,25") from None
    pace = Pace(percents, hold, min_frames, Gates(disagreement=max_disagreement))
    last: list[Any] = [None]
    filled: dict[str, Any] = {}
    with open_sources(settings, version, embedder) as sources, output.progress() as progress:
        task = progress.add_task(version, total=int(hold), note="")

        def tell(now: RolloutStep) -> None:
            step = (now.record.state, now.record.percent)
            if step != last[0]:
                last[0] = step
                output.say(_sentence(now.record))
            seen = now.seen
            note = f"{pluralize(seen.frames, 'frame')} compared, {seen.disagreement:.1%} differ" if seen else ""
            progress.update(task, completed=int(min(now.watched_s, hold)), note=note)

        def ask(record: ModelRecord) -> bool:
            if auto:
                return True
            progress.stop()
            yes = typer.confirm(f"{_sentence(record)}. Do it?", err=True)
            progress.start()
            return yes

        def make_templates() -> None:
            filled.update(_fill(settings, version, sources, rate, output))

        ended = run(
            settings,
            records.find_card(version, settings),
            make_templates,
            pace,
            force=force,
            say=tell,
            ask=ask,
        )
    if ended.seen is not None:
        _show(ended.seen, output)
    output.say(_sentence(ended.record) + (f": {ended.record.reason}" if ended.violations else ""))
    output.finish(
        {"version": version, "state": ended.record.state, "violations": ended.violations}
        | {"seen": asdict(ended.seen) if ended.seen else None, "filled": filled or None}
    )
    if ended.violations:
        raise typer.Exit(1)


def _fill(
    settings: Settings, version: str, sources: Sequence[VectorSource], rate: float | None, output: Output
) -> dict[str, Any]:
    from streams.rollout.backfill import BackfillProgress
    from streams.rollout.backfill import backfill as run

    with output.progress() as progress:
        task = progress.add_task("templates", total=None, note=version)

        def tell(now: BackfillProgress) -> None:
            progress.update(task, completed=now.made, total=now.lacking)

        done = run(settings, version, sources, rate=rate, say=tell)
    output.say(f"{pluralize(done.made, 'template')} of {version} made")
    if done.stragglers:
        listed = ", ".join(done.stragglers[:5]) + (", …" if done.stragglers[5:] else "")
        stay = pluralize(len(done.stragglers), "user stays", "users stay")
        output.warn(f"{stay} with the version before, since neither faces nor photos of theirs are kept: {listed}")
    if done.left_behind:
        count = sum(map(len, done.left_behind.values()))
        need = pluralize(count, "subject needs", "subjects need")
        output.warn(
            f"{need} a new photo before the version before can be retired: `facestream subjects list` shows them as "
            "left_behind"
        )
    return {"made": done.made, "stragglers": done.stragglers, "left_behind": dict(done.left_behind)}


def _tell_cost(lost: RetirementCost, output: Output) -> None:
    """Who would need a new photo, and what else would be lost."""
    table = grid("user", "#subjects", "~need a new enrolment photo")
    for user, subjects in lost.by_user.items():
        table.add_row(escape(user), str(len(subjects)), escape(", ".join(subjects)))
    if lost.subjects:
        output.table(table)
        output.say(lost.sentence)
    else:
        output.say(f"nobody would need a new photo without {lost.version}")
    if lost.templates:
        output.say(f"{pluralize(lost.templates, 'template')} would be lost, which no other version has")


def _cost_as_json(lost: RetirementCost) -> dict[str, Any]:
    return {
        "templates_lost": lost.templates,
        "enrol_again": {"subjects": len(lost.subjects), "users": len(lost.by_user), "by_user": dict(lost.by_user)},
    }


def _told(record: ModelRecord, output: Output, more: dict[str, Any]) -> None:
    output.say(_sentence(record))
    output.finish({"version": record.version, "state": record.state, "percent": record.percent} | more)


def _sentence(record: ModelRecord) -> str:
    from schemas.rollout import ModelState

    return (
        record.version
        + {
            ModelState.CANDIDATE: " answers nobody (candidate)",
            ModelState.SHADOW: " decides beside (shadow)",
            ModelState.CANARY: f" answers for {record.percent:g} % of the users (canary)",
            ModelState.PRODUCTION: " answers for everybody (production)",
            ModelState.RETIRED: " is retired",
        }[record.state]
    )


def _show(found: Report, output: Output) -> None:
    table = grid("", f"#{found.version}", f"#{found.against or 'no other'}")
    table.add_row("unknown", f"{found.new.unknown_rate:.2%}", f"{found.old.unknown_rate:.2%}")
    table.add_row("margin of those named", *(_number(side.margin) for side in (found.new, found.old)))
    output.say(
        f"{pluralize(found.frames, 'frame')} with {pluralize(found.faces, 'face')} compared; "
        f"{found.version} decides {found.disagreement:.2%} differently"
    )
    output.table(table)
    if found.p99_ms is not None:
        output.say(
            f"{pluralize(found.answered, 'frame')} answered, 99 of 100 within {found.p99_ms:.0f} ms, "
            f"{found.error_rate:.2%} failed"
        )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
