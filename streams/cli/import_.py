"""``facestream import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console import MAINTAIN, Json, OneUser, Output, load_settings, not_empty
from streams.text import pluralize

if TYPE_CHECKING:
    from streams.operations.gallery_import import GalleryImport, ImportResult, TemplateFile
    from streams.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", rich_help_panel=MAINTAIN)(import_)


def import_(
    file: Annotated[Path, typer.Argument(help="File of `facestream export`, or of vectors (.npz, .parquet).")],
    user: OneUser = None,
    model: Annotated[
        str | None,
        typer.Option(
            callback=not_empty, help="Model version of the vectors, if the file does not say.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the file, and count what would be done.")
    ] = False,
    known_models: Annotated[
        bool, typer.Option("--known-models", help="Leave out vectors of model versions that are unknown here.")
    ] = False,
    accept_old: Annotated[
        bool,
        typer.Option("--accept-old", help="Import a file that is older than the erasures that are remembered."),
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait without any outcome.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Put the templates of a file into the galleries, and wait until match has enrolled them.

    The file may be one that `facestream export` has written, or vectors of a known model from elsewhere, as a NumPy
    (.npz) or Parquet (.parquet) file with the columns user_id, subject_id, vector, consent_purpose and
    consent_granted_at.

    The whole file is checked first; nothing of a broken one is imported. Templates that are there already stay as they
    are, so repeating an import changes nothing. People who were erased after their photo came stay away, and so do
    those whose consent has ended.
    """
    from streams.operations.gallery_import import Fate, GalleryImport

    output = Output(as_json)
    if not file.is_file():
        raise typer.BadParameter(f"there is no file {str(file)!r}")
    with output.progress() as progress:
        progress.add_task(f"checking {file}", total=None, note="")
        settings = load_settings()
        found = _opened(settings, file, model)
        work = GalleryImport(settings, found, user)
        planned, unknown = work.plan()
    if not planned.templates:
        raise typer.BadParameter(f"{file} has no template of user {user}")
    _warn(work, found, output)
    work.check(unknown, known_only=known_models, accept_old=accept_old)
    if dry_run:
        output.say(f"{pluralize(planned.fates[Fate.SENT], 'template')} would be imported{_left_out(planned)}")
        output.finish(_plain(planned, work) | {"dry_run": True, "sent": 0, "to_send": planned.fates[Fate.SENT]})
        return
    with output.progress() as progress:
        task = progress.add_task("templates", total=planned.fates[Fate.SENT], note="")

        def report(result: ImportResult) -> None:
            progress.update(task, completed=result.enrolled + result.refused.total())

        result = work.run(timeout, report)
    _show(result, output)
    output.finish(_plain(result, work) | {"dry_run": False})
    if result.failed:
        raise typer.Exit(1)


def _opened(settings: Settings, path: Path, model: str | None) -> TemplateFile:
    """A file of either kind, checked."""
    if path.suffix in (".npz", ".parquet"):
        from streams.operations.vector_files.opening import open_vectors

        return open_vectors(settings, path, model)
    from schemas import gallery_file

    if model is not None:
        raise typer.BadParameter("--model is for files of vectors (.npz, .parquet): an exported gallery names its own")
    return gallery_file.check(path)


def _warn(work: GalleryImport, file: TemplateFile, output: Output) -> None:
    if work.is_foreign and file.created_at is not None:
        output.warn(
            "the file comes from another installation: whoever was erased there since "
            f"{file.created_at:%Y-%m-%d %H:%M} UTC has to be erased here too"
        )


def _show(result: ImportResult, output: Output) -> None:
    repeats = f", {result.repeats} of them as repeats of photos that were there" if result.repeats else ""
    output.say(f"{pluralize(result.enrolled, 'template')} imported{repeats}{_left_out(result)}")
    for reason, count in result.refused.most_common():
        output.warn(f"{pluralize(count, 'template was', 'templates were')} refused: {reason}")
    if result.no_outcome:
        unsent = f", and {result.unsent} were not sent" if result.unsent else ""
        output.warn(
            f"{pluralize(result.no_outcome, 'template')} had no outcome in time{unsent}: see `facestream doctor`, and "
            "run the same command again; it sends what is missing then"
        )


def _left_out(result: ImportResult) -> str:
    from streams.operations.gallery_import import Fate

    words = {
        Fate.THERE: "there already",
        Fate.ERASED: "of people who were erased",
        Fate.CONSENT_ENDED: "of people whose consent has ended",
        Fate.RETIRED: "of retired model versions only",
        Fate.UNKNOWN_MODEL: "of unknown model versions only",
    }
    said = [f"{result.fates[fate]} {text}" for fate, text in words.items() if result.fates[fate]]
    return f"; {', '.join(said)}" if said else ""


def _plain(result: ImportResult, work: GalleryImport) -> dict[str, object]:
    from streams.operations.gallery_import import Fate

    return {
        "replay_id": work.replay_id,
        "templates": result.templates,
        **{fate.value: result.fates[fate] for fate in Fate},
        "enrolled": result.enrolled,
        "repeats": result.repeats,
        "refused": dict(result.refused),
        "no_outcome": result.no_outcome,
        "unsent": result.unsent,
    }
