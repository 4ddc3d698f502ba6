"""``facestream export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console import MAINTAIN, Json, OneUser, Output, load_settings, not_empty
from streams.text import pluralize

if TYPE_CHECKING:
    from streams.operations.gallery_export import ExportCounts


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", rich_help_panel=MAINTAIN)(export)


def export(
    file: Annotated[Path, typer.Argument(help="File to write; it holds biometric data, so keep it safe.")],
    user: OneUser = None,
    subject: Annotated[
        str | None, typer.Option("--subject", "-s", callback=not_empty, help="Only this subject.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(callback=not_empty, help="Only vectors of this model version.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the gallery of a user, or all galleries, to a file, from which `facestream import` restores them.

    The file is an Avro container with the templates: vectors, consent, model versions and event ids. If its name ends
    with .npz (NumPy) or .parquet, it has the vectors of one model version as columns, of the one in production unless
    --model says otherwise. An older file of this name is replaced when the new one is whole.
    """
    from schemas.as_json import time_text
    from streams.operations.gallery_export import export_gallery

    output = Output(as_json)
    if not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {str(file.parent)!r}")
    if file.is_dir():
        raise typer.BadParameter(f"{str(file)!r} is a folder")
    with output.progress() as progress:
        task = progress.add_task("templates", total=None, note="")

        def report(counts: ExportCounts) -> None:
            progress.update(task, completed=counts.templates)

        sha256, created_at, counts = export_gallery(
            load_settings(), file, user, report, subject_id=subject, model_version=model
        )
    if counts.erased:
        output.warn(f"{pluralize(counts.erased, 'template is', 'templates are')} left out: the person was erased")
    if counts.consent_ended:
        left_out = pluralize(counts.consent_ended, "template is", "templates are")
        output.warn(f"{left_out} left out: the consent has ended")
    for version, count in sorted(counts.other_versions.items()):
        output.warn(f"{pluralize(count, 'vector is', 'vectors are')} left out: by the model version {version}")
    output.say(
        f"{pluralize(counts.templates, 'template')} of {pluralize(len(counts.subjects), 'subject')} of "
        f"{pluralize(len(counts.users), 'user')}, with {pluralize(counts.vectors, 'vector')} by "
        f"{', '.join(sorted(counts.model_versions))}, written to {file}"
    )
    output.finish(
        {
            "file": str(file),
            "bytes": file.stat().st_size,
            "sha256": sha256,
            "created_at": time_text(created_at),
            "templates": counts.templates,
            "vectors": counts.vectors,
            "users": len(counts.users),
            "subjects": len(counts.subjects),
            "model_versions": counts.model_versions,
            "left_out": {
                "erased": counts.erased,
                "consent_ended": counts.consent_ended,
                "other_versions": counts.other_versions,
            },
        }
    )
