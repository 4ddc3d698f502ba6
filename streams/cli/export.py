"""``facestream export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console import MAINTAIN, Json, OneUser, Output, load_settings
from streams.text import pluralize

if TYPE_CHECKING:
    from streams.operations.gallery_export import ExportCounts


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", rich_help_panel=MAINTAIN)(export)


def export(
    file: Annotated[Path, typer.Argument(help="File to write; it holds biometric data, so keep it safe.")],
    user: OneUser = None,
    as_json: Json = False,
) -> None:
    """Write the gallery of a user, or all galleries, to a file, from which `facestream import` restores them.

    The file is an Avro container with the templates: vectors, consent, model versions and event ids. An older file of
    this name is replaced when the new one is whole.
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

        made, counts = export_gallery(load_settings(), file, user, report)
    if counts.erased:
        output.warn(f"{pluralize(counts.erased, 'template is', 'templates are')} left out: the person was erased")
    if counts.consent_ended:
        left_out = pluralize(counts.consent_ended, "template is", "templates are")
        output.warn(f"{left_out} left out: the consent has ended")
    output.say(
        f"{pluralize(counts.templates, 'template')} of {pluralize(len(counts.subjects), 'subject')} of "
        f"{pluralize(len(counts.users), 'user')}, with {pluralize(counts.vectors, 'vector')} by "
        f"{', '.join(sorted(counts.model_versions))}, written to {file}"
    )
    output.finish(
        {
            "file": str(file),
            "bytes": file.stat().st_size,
            "sha256": made.sha256,
            "created_at": time_text(made.created_at),
            "templates": counts.templates,
            "vectors": counts.vectors,
            "users": len(counts.users),
            "subjects": len(counts.subjects),
            "model_versions": counts.model_versions,
            "left_out": {"erased": counts.erased, "consent_ended": counts.consent_ended},
        }
    )
