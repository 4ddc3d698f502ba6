"""``facestream subjects list`` and ``facestream subjects duplicates``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Format, Json, OneUser, Output, TableFormat, grid, load_settings, not_empty
from streams.text import pluralize

if TYPE_CHECKING:
    from schemas.ingest import Consent
    from streams.operations.subjects import EnrolledSubject, SubjectWithoutTemplates


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The people who are enrolled.")
    group.command("list")(list_)
    group.command("duplicates")(duplicates)
    app.add_typer(group, name="subjects", rich_help_panel=LOOK)


def list_(
    user: Annotated[
        str | None,
        typer.Option("--user", "-u", callback=not_empty, help="Only subjects of this user.", show_default=False),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", "-s", callback=not_empty, help="Only this subject.", show_default=False),
    ] = None,
    form: TableFormat = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Show who is enrolled: photos, model versions, times, consent and status, as the galleries have them.

    A photo that has vectors of several model versions counts once. The status is `enrolled`; or `left_behind`, if the
    version in production has none of the photos, so that a version before it answers; or `enrol_again`, if none of
    the versions that may answer has one.
    """
    from streams.operations.subjects import enrolled_subjects, read_versions, status, subjects_to_enrol_again

    output, settings = Output(as_json, form), load_settings()
    registry = read_versions(settings)
    columns = ("user", "subject", "#photos", "first enrolled", "last enrolled", "consent", "until", "model versions")
    table = grid(*columns, "status")
    enrolled, listed, users, photos = [], [], set(), 0
    for one in enrolled_subjects(settings, user, subject):
        found = status(one, registry)
        table.add_row(*_row(one, found))
        enrolled.append(one)
        listed.append(_plain(one) | {"status": found})
        users.add(one.user_id)
        photos += one.templates
    gone = subjects_to_enrol_again(registry, enrolled, user, subject)
    rows = {(one.user_id, one.subject_id) for one in enrolled}
    for lost in (one for one in gone if (one.user_id, one.subject_id) not in rows):
        version = f"{lost.model_version} until {lost.retired_at:%Y-%m-%d %H:%M}"
        table.add_row(escape(lost.user_id), escape(lost.subject_id), "0", *[""] * 4, escape(version), "enrol_again")
    if listed or gone or output.csv:
        output.table(table)
    else:
        output.say(f"user {user} has nobody enrolled" if user else "nobody is enrolled")
    output.say(f"{pluralize(len(listed), 'subject')} of {pluralize(len(users), 'user')}, {pluralize(photos, 'photo')}")
    if gone:
        output.warn(f"{pluralize(len(gone), 'more subject needs', 'more subjects need')} a new enrolment photo")
    output.finish(
        {"subjects": listed, "users": len(users), "templates": photos}
        | {"enrol_again": [_without_templates(lost) for lost in gone]}
    )


def duplicates(user: OneUser = None, form: TableFormat = Format.TABLE, as_json: Json = False) -> None:
    """Show subjects of one user who are perhaps the same person.

    Their templates are so near that one would surely be recognised on a photo of the other. If it is one person, erase
    one of the two; relatives may look alike.
    """
    from dataclasses import asdict

    from streams.operations.duplicate_subjects import duplicate_subjects

    output, settings = Output(as_json, form), load_settings()
    found = list(duplicate_subjects(settings, user))
    table = grid("user", "subject", "other subject", "#similarity", "#FMR", "model version")
    for one in found:
        names = (escape(one.user_id), escape(one.subject_id), escape(one.other_subject_id))
        table.add_row(*names, f"{one.similarity:.2f}", f"{one.fmr:.1g}", escape(one.model_version))
    if found or output.csv:
        output.table(table)
    else:
        output.say("no two subjects of a user look like one person")
    output.finish({"duplicates": [asdict(one) for one in found]})


def _row(one: EnrolledSubject, status: str) -> tuple[str, ...]:
    until = "" if one.consent.expires_at is None else f"{one.consent.expires_at:%Y-%m-%d %H:%M}"
    versions = ", ".join(
        name if count == one.templates else f"{name} ({count} of {one.templates})"
        for name, count in one.model_versions.items()
    )
    training = " and training" if one.consent.training else ""
    return (
        *(escape(one.user_id), escape(one.subject_id), str(one.templates)),
        *(f"{at:%Y-%m-%d %H:%M}" for at in (one.first_enrolled_at, one.last_enrolled_at)),
        *(f"{escape(one.consent.purpose)}{training}", until or "no end", escape(versions), status),
    )


def _plain(one: EnrolledSubject) -> dict[str, Any]:
    from schemas.as_json import time_text

    return {
        "user_id": one.user_id,
        "subject_id": one.subject_id,
        "templates": one.templates,
        "model_versions": one.model_versions,
        "first_enrolled_at": time_text(one.first_enrolled_at),
        "last_enrolled_at": time_text(one.last_enrolled_at),
        "consent": _plain_consent(one.consent),
    }


def _without_templates(one: SubjectWithoutTemplates) -> dict[str, Any]:
    from schemas.as_json import time_text

    return {
        "user_id": one.user_id,
        "subject_id": one.subject_id,
        "model_version": one.model_version,
        "retired_at": time_text(one.retired_at),
        "status": "enrol_again",
    }


def _plain_consent(consent: Consent) -> dict[str, Any]:
    from schemas.as_json import time_text

    return {
        "purpose": consent.purpose,
        "granted_at": time_text(consent.granted_at),
        "expires_at": None if consent.expires_at is None else time_text(consent.expires_at),
        "training": consent.training,
    }
