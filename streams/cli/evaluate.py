"""``facestream evaluate``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from streams.cli.console import MAINTAIN, Json, Output, grid, load_settings

if TYPE_CHECKING:
    from rich.table import Table

    from models.evaluation.comparisons import Interval
    from models.evaluation.discard import DiscardCurve
    from models.evaluation.evaluation import Evaluation

_NAMED = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate", rich_help_panel=MAINTAIN)(evaluate)


def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Pictures as DIR/<identity>/*; with --pairs anywhere in DIR.")
    ],
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="CSV of pairs to score: two file names and yes or no per line (or LFW's pairs.txt). Default: all."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Two faces below this distance count as one person. Default: the threshold set in use."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a model version. Default: that of FACESTREAM_MODEL_DIR or FACESTREAM_MODEL."),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV with the groups of people or pictures; each is measured separately."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Name every picture without a face.")] = False,
    as_json: Json = False,
) -> None:
    """Measure verification accuracy on pictures of your own. Fails if none of them shows a face."""
    from models.analysis.analyzer import Analyzer
    from models.embedder.model import Model
    from models.evaluation.evaluation import UnusableEvaluation, evaluate
    from models.evaluation.groups import Labelling
    from models.pictures.folders import left_out_in_words

    output = Output(as_json)
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {str(folder)!r}")
    settings = load_settings()
    loaded = Model.load(model or settings.chosen_model_dir, threads=settings.cpu_threads)
    analyzer = Analyzer(
        loaded,
        threads=settings.cpu_threads,
        max_picture_bytes=settings.max_picture_bytes,
        max_picture_pixels=settings.max_picture_pixels,
    )
    with output.progress() as progress:
        task = progress.add_task("pictures", total=None, note="")
        result = evaluate(
            analyzer,
            folder,
            threshold=loaded.card.threshold(settings.threshold_set) if threshold is None else threshold,
            pairs_csv=pairs,
            labelling=Labelling.read(groups) if groups else None,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if result.left_out:
        output.warn(left_out_in_words(result.left_out))
    if not result.says_nothing:
        _show(result, loaded.card.version, output)
    _name(result.skipped, output, every=verbose)
    by_group = [{"by": one.by, "group": one.group} | asdict(one.errors) for one in result.groups]
    curve = result.discard.model_dump() if result.discard else None
    output.finish(asdict(result) | {"groups": by_group, "discard": curve, "model_version": loaded.card.version})
    if result.says_nothing:
        raise UnusableEvaluation(result.says_nothing)


def _show(result: Evaluation, version: str, output: Output) -> None:
    table = grid("", "#")
    table.show_header = False
    table.add_row("model", escape(version))
    table.add_row("identities, images", f"{result.identities}, {result.images}")
    table.add_row("pairs of one person, of two", f"{result.genuine_pairs}, {result.impostor_pairs}")
    by_reason = ", ".join(f"{count} {reason}" for reason, count in result.skipped_by_reason.items())
    table.add_row("faces not found", f"{result.faces_not_found} ({by_reason})" if by_reason else "0")
    table.add_row("ROC AUC", _rate(result.roc_auc))
    for far, tar in result.tar_at_far.items():
        table.add_row(f"TAR at FAR {far}", _rate(tar))
    table.add_row(f"accuracy at distance {result.threshold:g}", _rate(result.accuracy))
    if result.discard is not None:
        _show_discard(result.discard, table)
    output.table(table)
    if result.groups:
        of_groups = grid("group", "#people", "#FNMR", "#95 %", "#FMR within", "#95 %")
        for one in result.groups:
            found = one.errors
            rates = (*_sure(found.fnmr, found.fnmr_interval), *_sure(found.fmr, found.fmr_interval))
            of_groups.add_row(escape(f"{one.by} {one.group}"), str(found.people), *rates)
        output.table(of_groups)


def _show_discard(curve: DiscardCurve, table: Table) -> None:
    table.add_row(f"FNMR at FMR {curve.fmr:g}", _rate(curve.fnmr[0]))
    for percent in (10, 20, 30):
        table.add_row(f"… without the worst {percent} % by quality", _rate(curve.fnmr[percent]))
    if curve.gain is not None:
        table.add_row("… gained, of what a perfect quality would gain", f"{curve.gain:.2f}")


def _name(skipped: dict[str, str], output: Output, *, every: bool) -> None:
    for picture, reason in list(skipped.items())[: None if every else _NAMED]:
        output.warn(f"{picture}: {reason}")
    if not every and (more := len(skipped) - _NAMED) > 0:
        output.warn(f"and {more} more: --verbose names them")


def _sure(rate: float | None, interval: Interval | None) -> tuple[str, str]:
    if rate is None or interval is None:
        return "no strangers", ""
    return f"{rate:.4f}", "–".join(f"{end:.3f}" for end in interval)


def _rate(value: float | None) -> str:
    return "too few pairs" if value is None else f"{value:.5f}"
