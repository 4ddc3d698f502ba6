"""``facestream keys create|list|revoke``."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import MAINTAIN, Format, Json, Output, TableFormat, grid, load_settings

if TYPE_CHECKING:
    from schemas.access import ApiKey, Scope

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Make, list and revoke the keys of the HTTP gateway.")
    group.command("create")(create)
    group.command("list")(list_)
    group.command("revoke")(revoke)
    app.add_typer(group, name="keys", rich_help_panel=MAINTAIN)


def create(
    scopes: Annotated[
        str,
        typer.Option(
            help="What it may be used for, separated by commas: upload, frame, read, search, erase, ops.",
            show_default=False,
        ),
    ],
    user: Annotated[
        list[str] | None,
        typer.Option("--user", "-u", help="Whose data it reaches; may be repeated.", show_default=False),
    ] = None,
    all_users: Annotated[bool, typer.Option("--all-users", help="It reaches the data of all users.")] = False,
    name: Annotated[str, typer.Option(help="What it is for, in your words.")] = "",
    expires: Annotated[
        str | None,
        typer.Option(help="When it ends: a time such as 2027-01-31T12:00Z, or 90d, 12h, 30m.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it once: only a digest is kept."""
    from streams.api_keys.store import KeyNotMade, create_key

    output, settings = Output(as_json), load_settings()
    try:
        key, record = create_key(
            settings,
            _scopes(scopes),
            users=user or (),
            all_users=all_users,
            name=name,
            expires_at=None if expires is None else _time(expires),
        )
    except KeyNotMade as error:
        raise typer.BadParameter(str(error)) from error
    output.say(key.text)
    output.note("It is shown only now: keep it where secrets are kept.")
    output.finish({"key": key.text} | _plain(record, None))


def list_(form: TableFormat = Format.TABLE, as_json: Json = False) -> None:
    """Show the keys: what they are for, when they were last used, and whether they still count."""
    from sinks.redis.errors import ResultsUnavailable
    from streams.api_keys.last_use import LastUse
    from streams.api_keys.store import list_keys

    output, settings = Output(as_json, form), load_settings()
    records = list_keys(settings)
    with closing(LastUse(settings)) as last_use:
        try:
            used = last_use.read()
        except ResultsUnavailable as error:
            output.warn(f"when keys were last used is not known: {error}")
            used = {}
    table = grid("key", "name", "scopes", "users", "created", "last used", "expires", "status")
    plain = [_plain(record, used.get(record.key_id)) for record in records]
    for record, one in zip(records, plain, strict=True):
        users = "all" if record.all_users else ", ".join(record.users)
        times = (record.created_at, used.get(record.key_id), record.expires_at)
        table.add_row(
            *(one["key_id"], escape(record.name), ",".join(record.scopes), escape(users)),
            *("" if at is None else f"{at:%Y-%m-%d %H:%M}" for at in times),
            one["status"],
        )
    if records or output.csv:
        output.table(table)
    else:
        output.say("there are no keys: `facestream keys create` makes one")
    output.finish({"keys": plain})


def revoke(
    key: Annotated[str, typer.Argument(help="The key's visible part, such as fs_0J5nQkWbXy.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Revoke a key: every gateway refuses it within two seconds."""
    from streams.api_keys.store import revoke_key

    output = Output(as_json)
    record = revoke_key(load_settings(), key)
    output.say(f"fs_{record.key_id} is revoked")
    output.finish(_plain(record, None))


def _scopes(text: str) -> list[Scope]:
    from schemas.access import Scope

    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        return [Scope(word) for word in words]
    except ValueError as error:
        raise typer.BadParameter(f"{error}; there are {', '.join(Scope)}") from error


def _time(text: str) -> datetime:
    """A time, or one that is so far from now."""
    if found := re.fullmatch(r"(\d{1,5})([mhd])", text):
        return datetime.now(UTC) + int(found[1]) * _UNITS[found[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time: write 2027-01-31T12:00Z, or 90d, 12h, 30m") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _plain(record: ApiKey, used_at: datetime | None) -> dict[str, Any]:
    from schemas.as_json import time_text, to_json

    ended = record.expires_at is not None and record.expires_at <= datetime.now(UTC)
    status = "revoked" if record.revoked_at is not None else "expired" if ended else "valid"
    last = None if used_at is None else time_text(used_at)
    return to_json(record) | {"key_id": f"fs_{record.key_id}", "last_used_at": last, "status": status}
