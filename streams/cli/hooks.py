"""``facestream hooks add|list|test|enable|remove``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from schemas.hooks import USUAL_EVENTS
from streams.cli.console import MAINTAIN, Format, Json, Output, TableFormat, grid, load_settings

_Id = Annotated[str, typer.Argument(help="The id of the hook, or its beginning.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Post sightings and enrolments, signed, to addresses of yours.")
    group.command("add")(add)
    group.command("list")(list_)
    group.command("test")(test)
    group.command("enable")(enable)
    group.command("remove")(remove)
    app.add_typer(group, name="hooks", rich_help_panel=MAINTAIN)


def add(
    address: Annotated[str, typer.Argument(help="Where to post: an https:// address.", show_default=False)],
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="Whose events are posted.", show_default=False)
    ] = None,
    all_users: Annotated[bool, typer.Option("--all-users", help="Those of all users are posted.")] = False,
    events: Annotated[
        str,
        typer.Option(
            help="Which, separated by commas: sighting.begin, sighting.update, sighting.end, enrolment.enrolled, "
            "enrolment.refused; sighting and enrolment stand for all of theirs."
        ),
    ] = ",".join(USUAL_EVENTS),
    name: Annotated[str, typer.Option(help="What it is for, in your words.")] = "",
    as_json: Json = False,
) -> None:
    """Make a hook, and show its secret once: with it the receiver checks who has posted.

    What is decided from then on is posted.
    """
    from streams.hooks.addresses import AddressRefused
    from streams.hooks.listing import hook_json, kinds_of
    from streams.hooks.store import HookNotMade, add_hook

    output, settings = Output(as_json), load_settings()
    if (user is None) is not all_users:
        raise typer.BadParameter("name either a --user or --all-users")
    words = filter(None, map(str.strip, events.split(",")))
    try:
        secret, hook = add_hook(settings, address, kinds_of(words), user=user, name=name)
    except (AddressRefused, HookNotMade) as error:
        raise typer.BadParameter(str(error)) from error
    output.say(hook.hook_id)
    output.say(secret.text)
    output.note("The secret is shown only now: keep it where secrets are kept.")
    output.finish({"secret": secret.text} | hook_json(hook))


def list_(form: TableFormat = Format.TABLE, as_json: Json = False) -> None:
    """Show the hooks, and how much waits for each."""
    from streams.hooks.listing import listed

    output = Output(as_json, form)
    hooks = listed(load_settings())
    table = grid("hook", "name", "~address", "user", "events", "created", "waiting", "oldest", "~status")
    for hook, said in hooks:
        oldest = f"{said['oldest_s']:.0f} s" if said["waiting"] else ""
        table.add_row(
            *(hook.hook_id, escape(hook.name), escape(hook.address), escape(hook.user_id or "all")),
            *(" ".join(hook.kinds), f"{hook.created_at:%Y-%m-%d %H:%M}", str(said["waiting"]), oldest),
            escape(said["status"] if hook.disabled_because is None else f"disabled: {hook.disabled_because}"),
        )
    if hooks or output.csv:
        output.table(table)
    else:
        output.say("there are no hooks: `facestream hooks add` makes one")
    output.finish({"hooks": [said for _, said in hooks]})


def test(hook_id: _Id, as_json: Json = False) -> None:
    """Post one signed message of the type `test` from this machine, and show the answer.

    The exit code is 1 if it was not accepted.
    """
    from streams.hooks.store import find_hook
    from streams.hooks.trial import try_hook

    output, settings = Output(as_json), load_settings()
    hook = find_hook(settings, hook_id)
    result = try_hook(settings, hook)
    output.say(f"{hook.hook_id}: {result.what}")
    output.finish({"hook_id": hook.hook_id, "accepted": result.accepted, "answer": result.what})
    if not result.accepted:
        raise typer.Exit(1)


def enable(hook_id: _Id, as_json: Json = False) -> None:
    """Post again to a hook that was disabled: what is decided from now on."""
    from streams.hooks.listing import hook_json
    from streams.hooks.store import enable_hook

    output = Output(as_json)
    hook = enable_hook(load_settings(), hook_id)
    output.say(f"{hook.hook_id} is enabled")
    output.finish(hook_json(hook))


def remove(hook_id: _Id, as_json: Json = False) -> None:
    """Remove a hook: what waits for it is dropped."""
    from streams.hooks.store import find_hook, remove_hook

    output, settings = Output(as_json), load_settings()
    hook = find_hook(settings, hook_id)
    remove_hook(settings, hook)
    output.say(f"{hook.hook_id} is removed")
    output.finish({"hook_id": hook.hook_id})
