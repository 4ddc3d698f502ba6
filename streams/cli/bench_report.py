"""``facestream bench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.console import Json, Output


def register(bench: typer.Typer) -> None:
    """Add the command."""
    bench.command("report")(report)


def report(
    results: Annotated[
        Path | None,
        typer.Option(help="Folder of the results. Default: that of `--save`, in this clone.", show_default=False),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="File to write, in Markdown. Default: docs/benchmarks.md.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one page of what benchmarks have measured, with plots: the newest result of each."""
    from streams.devtools.benchmarks import results as kept
    from streams.devtools.benchmarks.page import page

    output = Output(as_json)
    if results is None or to is None:
        kept.check()
    found = list(kept.kept(results or kept.FOLDER))
    if not found:
        raise kept.ResultsAway(
            f"there is no result in {results or kept.FOLDER}: `facestream bench NAME --save` keeps one"
        )
    target = to or kept.PAGE
    text, pictures = page(found)
    images = target.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    for gone in set(images.glob("bench-*.svg")) - {images / name for name in pictures}:
        gone.unlink()
    for name, svg in pictures.items():
        (images / name).write_text(svg, "utf-8")
    target.write_text(text, "utf-8")
    output.say(f"{target}: {len({one.bench for one in found})} benchmarks, {len(pictures)} plots")
    output.finish({"page": str(target), "benchmarks": sorted({one.bench for one in found}), "plots": sorted(pictures)})
