"""``facestream models``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from streams.cli import rollout
from streams.cli.console import MAINTAIN, Format, Json, Output, TableFormat, grid, load_settings
from streams.text import pluralize

if TYPE_CHECKING:
    from models.embedder.card import Card, Shift
    from models.embedder.registry_snapshot import RegistrySnapshot
    from streams.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    models = typer.Typer(no_args_is_help=True, help="Model versions: accuracy, state, and rollout.")
    models.command("list")(list_versions)
    models.command("show")(show)
    rollout.register(models)
    app.add_typer(models, name="models", rich_help_panel=MAINTAIN)


def list_versions(form: TableFormat = Format.TABLE, as_json: Json = False) -> None:
    """Show the versions, trained here or imported, and their states."""
    from models.training import gate

    output, settings = Output(as_json, form), load_settings()
    table = grid("version", "state", "parent", "#people", "#faces", "#degraded", "#clean", "gate", "#users left behind")
    rows = []
    registry = _registry(settings, output)
    for folder, card in _versions(settings, output).items():
        lineage, refusals = card.lineage, gate.refusals(card.lineage) if card.lineage else []
        made_of = lineage.model_dump(mode="json") if lineage else None
        state = _state(registry, card.version)
        record = registry.record(card.version) if registry else None
        # Without an earlier version, nobody can be left behind with it.
        stays = registry is not None and registry.in_production != (card.version,)
        stragglers = list(record.stragglers) if record and stays else []
        rows.append(
            {"version": card.version, "folder": str(folder), "refusals": refusals, "lineage": made_of}
            | {"state": (registry.state(card.version) or "candidate") if registry else None}
            | {"answers": registry is not None and registry.production == card.version}
            | {"stragglers": stragglers, "given_up": [asdict(one) for one in record.given_up] if record else []}
        )
        made = (lineage.parent, str(lineage.people), str(lineage.chips)) if lineage else ("", "", "")
        gains = (_gain(card, "degraded"), _gain(card, gate.CLEAN))
        passed = "refused" if refusals else "passed" if lineage else ""
        behind = str(len(stragglers)) if record and record.filled and stays else ""
        table.add_row(escape(card.version), state, *made, *gains, passed, behind)
    output.table(table)
    output.finish({"versions": rows})


def show(
    version: Annotated[str, typer.Argument(help="Name of the version, or its folder; `accurate` or `fast`.")],
    html: Annotated[bool, typer.Option("--html", help="Also write the card as a page with plots.")] = False,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of the page. Default: VERSION.html in the current folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the card of one version."""
    from models.embedder.card import Card, UnusableModel
    from models.evaluation import discard
    from models.training import gate

    output, settings, version = Output(as_json), load_settings(), rollout.named(version)
    found = {card.version: (folder, card) for folder, card in _versions(settings, output).items()}
    if version not in found and Path(version).is_dir():
        found[version] = Path(version), Card.read(Path(version))
    if version not in found:
        raise UnusableModel(f"there is no model version {version!r}, but {', '.join(found)}")
    folder, card = found[version]
    table = grid("", "~")
    table.show_header = False
    table.add_row("version", escape(card.version))
    table.add_row("made", escape(card.description))
    table.add_row("folder", escape(str(folder)))
    registry = _registry(settings, output)
    table.add_row("state", _state(registry, card.version))
    record = registry.record(card.version) if registry else None
    if record is not None:
        since = f"{record.changed_by}, {record.changed_at:%Y-%m-%d %H:%M} UTC: {record.reason}"
        table.add_row("since", escape(since))
    table.add_row("vector", f"{card.output.dimensions} numbers, {card.output.metric}")
    for name, distance in card.thresholds.items():
        marks = [mark for mark, is_so in _marks(card, name).items() if is_so]
        table.add_row(name, f"distance {distance:g}" + (f" ({', '.join(marks)})" if marks else ""))
    for name, value in card.evaluation.items():
        table.add_row(escape(name), str(value))
    curve = discard.read(folder)
    if curve is not None:
        row = " ".join(f"{curve.fnmr[percent]:.3f}" for percent in (0, 10, 20, 30))
        table.add_row(f"FNMR at FMR {curve.fmr:g}, without the worst 0, 10, 20, 30 %", row)
    if card.lineage is not None:
        made = card.lineage
        faces = f"{pluralize(made.chips, 'face')} of {pluralize(made.people, 'person', 'people')}"
        table.add_row("trained on", f"{faces}, from {escape(made.parent)} ({made.mode})")
        for kind, one in made.measured.items():
            low, high = one.interval
            table.add_row(
                f"TAR at FAR 1e-2, {kind}", f"{one.before:.3f} before, {one.after:.3f} after ({low:.3f} to {high:.3f})"
            )
        table.add_row("measured on", pluralize(made.people_tested, "other person", "other people"))
        for group in made.groups:
            name = f"{escape(group.by)} {escape(group.group)}, {group.pictures}"
            people = pluralize(group.people, "person", "people")
            table.add_row(name, f"{_shift('FNMR', group.fnmr)}, {_shift('FMR', group.fmr)}, {people}")
        for refusal in gate.refusals(made):
            table.add_row("must not take over", escape(refusal))
    output.table(table)
    result = {
        "folder": str(folder),
        "state": (registry.state(card.version) or "candidate") if registry else None,
        "card": card.model_dump(mode="json", exclude={"fmr_curve"}),
        "discard": curve.model_dump() if curve else None,
    }
    if html or to:
        from models.report.page import page

        written = to or Path(f"{card.version}.html")
        written.write_text(page(card, folder), "utf-8")
        output.say(f"the page is {written}")
        result["page"] = str(written)
    output.finish(result)


def _versions(settings: Settings, output: Output) -> dict[Path, Card]:
    """Each version once, by the folder from which the workers load it."""
    from models.embedder.card import Card, UnusableModel
    from models.embedder.references import Reference

    made = sorted(path.parent for path in settings.versions_dir.glob("*/card.json"))
    chosen = [settings.model_dir] if settings.model_dir else []
    found: dict[Path, Card] = {}
    for folder in dict.fromkeys([*chosen, *(reference.folder for reference in Reference), *made]):
        try:
            card = Card.read(folder)
        except UnusableModel as error:
            output.warn(str(error))
            continue
        if card.version not in {one.version for one in found.values()}:
            found[folder] = card
    return found


def _registry(settings: Settings, output: Output) -> RegistrySnapshot | None:
    """The states of the versions; None if Kafka does not answer."""
    from streams.kafka.connection import KafkaUnavailable
    from streams.kafka.topics import TopicMissing
    from streams.model_registry.records import read_registry

    try:
        return read_registry(settings)
    except (KafkaUnavailable, TopicMissing) as error:
        output.warn(f"the states of the versions are not known: {error}")
        return None


def _state(registry: RegistrySnapshot | None, version: str) -> str:
    """The state of a version, in words."""
    if registry is None:
        return ""
    state = registry.state(version) or "candidate"
    if state == "production":
        return "production" if registry.production == version else "before (kept)"
    record = registry.record(version)
    return f"canary {record.percent:g} %" if record is not None and state == "canary" else str(state)


def _gain(card: Card, kind: str) -> str:
    measured = card.lineage.measured.get(kind) if card.lineage else None
    return "" if measured is None else f"{measured.gain:+.3f}"


def _shift(name: str, shift: Shift | None) -> str:
    return f"{name} unknown" if shift is None else f"{name} {shift.before:.3f} before, {shift.after:.3f} after"


def _marks(card: Card, name: str) -> dict[str, bool]:
    return {"default": name == card.default_threshold, "extrapolated": name in card.extrapolated}
