"""``facestream chips list|remove``."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

import typer
from rich.markup import escape

from streams.cli.console import MAINTAIN, Format, Json, Output, TableFormat, grid, load_settings
from streams.text import pluralize

Subject = Annotated[str | None, typer.Option("--subject", "-s", help="One subject of the user.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Faces that are kept to train models on.")
    group.command("list")(list_)
    group.command("remove")(remove)
    app.add_typer(group, name="chips", rich_help_panel=MAINTAIN)


def list_(
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="Only chips of this user.", show_default=False)
    ] = None,
    subject: Subject = None,
    form: TableFormat = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Show whose faces are kept, how many, and how long their consent lasts."""
    from streams.training_data.chip_store import KeptChip, read_kept_chips

    output = Output(as_json, form)
    people: dict[tuple[str, str], list[KeptChip]] = defaultdict(list)
    for one in read_kept_chips(load_settings(), None, user, subject).chips.values():
        people[one.chip.user_id, one.chip.subject_id].append(one)
    table = grid("user", "subject", "#faces", "first consent", "last ends")
    listed = []
    for (user_id, subject_id), chips in sorted(people.items()):
        consents = [one.chip.consent for one in chips]
        since = min(one.granted_at for one in consents)
        ends = [one.expires_at for one in consents if one.expires_at is not None]
        until = max(ends) if len(ends) == len(consents) else None
        last = "never" if until is None else f"{until:%Y-%m-%d %H:%M}"
        table.add_row(escape(user_id), escape(subject_id), str(len(chips)), f"{since:%Y-%m-%d %H:%M}", last)
        listed.append(
            {
                "user_id": user_id,
                "subject_id": subject_id,
                "chips": len(chips),
                "granted_at": since.isoformat(),
                "expires_at": until and until.isoformat(),
            }
        )
    if listed or output.csv:
        output.table(table)
    faces = sum(map(len, people.values()))
    of_people = pluralize(len(people), "person", "people")
    output.say(f"{pluralize(faces, 'face')} of {of_people} {'is' if faces == 1 else 'are'} kept to learn from")
    output.finish({"people": listed})


def remove(
    user: Annotated[str, typer.Option("--user", "-u", help="Owner of the faces.")],
    subject: Subject = None,
    as_json: Json = False,
) -> None:
    """Remove the faces of a user or subject, and stop learning from frames that were confirmed as theirs.

    Templates, results and pictures stay: this withdraws only the consent to training. Versions that were trained on a
    face stay as they are.
    """
    from streams.training_data import chip_store

    output = Output(as_json)
    removed = chip_store.remove(load_settings(), user, subject)
    whose = user if subject is None else f"{user}/{subject}"
    if removed.chips or removed.frames:
        faces, statements = pluralize(removed.chips, "face"), pluralize(removed.frames, "statement")
        output.say(f"{faces} of {whose}, and {statements} on frames, removed")
    else:
        output.say(f"no faces of {whose} are kept to learn from")
    output.finish({"user_id": user, "subject_id": subject, "chips": removed.chips, "frames": removed.frames})
