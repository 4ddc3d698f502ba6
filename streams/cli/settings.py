"""``facestream settings``."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Json, Output, grid, load_settings

if TYPE_CHECKING:
    from streams.settings import Settings

_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^/@]*@")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("settings", rich_help_panel=LOOK)(show)


def show(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of all settings in Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Show every setting: its environment variable, its value, and the source of the value."""
    output = Output(as_json)
    if markdown:
        typer.echo(settings_table())
        return
    now = load_settings()
    table = grid("variable", "value", "from")
    result = {}
    for name in type(now).model_fields:
        value, origin = masked(getattr(now, name)), _origin(now, name)
        table.add_row(_variable(name), escape(value), origin)
        result[_variable(name)] = {"value": value, "from": origin}
    output.table(table)
    output.finish({"settings": result})


def settings_table() -> str:
    """The table of all settings in Markdown."""
    from streams.settings import Settings

    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{masked(field.default)}`"
        rows.append(f"| `{_variable(name)}` | {default} | {field.description} |")
    return "\n".join(rows)


def masked(value: Any) -> str:
    """The value as text, without passwords."""
    if value is None:
        return ""
    text = json.dumps(value) if isinstance(value, list | bool) else str(value)
    return _PASSWORD.sub(r"\1:***@", text)


def _variable(name: str) -> str:
    return f"FACESTREAM_{name.upper()}"


def _origin(now: Settings, name: str) -> str:
    if _variable(name) in {variable.upper() for variable in os.environ}:
        return "environment"
    from streams.settings import RUNNING_FILE

    return str(now.home / RUNNING_FILE) if name in now.model_fields_set else "default"
