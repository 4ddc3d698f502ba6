"""``facestream search``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import PRODUCE, Json, Output, User, asking_redis, grid, load_settings
from streams.text import pluralize

if TYPE_CHECKING:
    from streams.settings import Settings

_CAMERA = "search"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("search", rich_help_panel=PRODUCE)(search)


def search(
    photo: Annotated[Path, typer.Argument(help="Photo of the people to look for.", show_default=False)],
    user: User = "default",
    top: Annotated[int | None, typer.Option(min=1, help="Candidates to show for each face; default: all.")] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the answer.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Look for the people in a photo among the subjects of all users who have consented to it.

    FACESTREAM_SEARCH_PURPOSES says which purposes of consent allow that; by default none does. Fails if the search was
    refused, or if not all shards have answered.
    """
    output, settings = Output(as_json), load_settings()
    if not photo.is_file():
        raise typer.BadParameter(f"there is no photo {str(photo)!r}")
    answer = _ask(photo, user, timeout_s, settings)
    if answer is None:
        output.warn(f"there is no answer after {timeout_s:g} s: see whether workers run (`facestream doctor`)")
        output.finish({"answered": False})
        raise typer.Exit(1)
    for face in answer["faces"]:
        face["candidates"] = face["candidates"][:top]
    covered, refusal = answer["search"], answer["refusal"]
    complete = covered is not None and len(covered["answered"]) == covered["shards"]
    _show(answer, output)
    output.finish({"answered": True, "complete": complete} | answer)
    if refusal is not None:
        output.warn(f"refused: {refusal['reason']}, {refusal['detail']}")
    elif covered is not None and not complete:
        missing = sorted(set(range(covered["shards"])) - set(covered["answered"]))
        output.warn(f"shards that have not answered in time: {', '.join(map(str, missing))}")
    if refusal is not None or (covered is not None and not complete):
        raise typer.Exit(1)


def _ask(photo: Path, user: str, timeout_s: float, settings: Settings) -> dict[str, Any] | None:
    from schemas.ingest import Mode
    from sinks.redis import RedisResults
    from streams.client.producer import Producer

    with Producer(settings, check_format=False) as producer:
        event_id = producer.frame(user, photo, camera_id=_CAMERA, mode=Mode.SEARCH).event_id
    with closing(RedisResults.of(settings)) as results, asking_redis(settings):
        return results.wait_for([event_id], timeout_s).get(event_id)


def _show(answer: dict[str, Any], output: Output) -> None:
    covered = answer["search"]
    table = grid("#face", "user", "subject", "#similarity", "#FMR", "#strangers", "")
    for number, face in enumerate(answer["faces"]):
        if not face["candidates"]:
            table.add_row(str(number), "", "", "", "", "", face["reason"] or face["decision"])
        for place, one in enumerate(face["candidates"]):
            named = place == 0 and face["decision"] == "match"
            table.add_row(
                *("" if place else str(number), escape(one["user_id"]), escape(one["subject_id"])),
                *(f"{one['similarity']:.2f}", f"{one['fmr']:.1g}", f"{one['fmr'] * covered['templates']:.1g}"),
                "[green]match[/]" + (" [yellow]ambiguous[/]" if face["ambiguous"] else "") if named else "",
            )
    output.table(table)
    if covered is not None:
        faces, templates = pluralize(len(answer["faces"]), "face"), pluralize(covered["templates"], "template")
        shards = f"{len(covered['answered'])} of {pluralize(covered['shards'], 'shard')}"
        output.say(
            f"{faces}, compared with {templates} in {shards}. The column strangers says how many of as many templates "
            "of strangers would be as near."
        )
