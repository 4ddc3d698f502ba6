"""``facestream settings``."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Format, Json, Output, TableFormat, grid, load_settings

_PASSWORD = re.compile(r"(?<=://)([^/@:]*):.*@")
"""Up to the last ``@``: a password may hold ``/`` or ``@``, though an address with them as they are is not usable."""
_PASSWORD_OPTION = re.compile(r"([?&][^=&]*password=)[^&#]*", re.IGNORECASE)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("settings", rich_help_panel=LOOK)(show)


def show(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of all settings in Markdown.")] = False,
    form: TableFormat = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Show every setting: its environment variable, its value, and the source of the value.

    Variables take precedence over what the running stack was started with, and that over the file facestream.toml in
    FACESTREAM_HOME, which has a line for each setting, such as `retention_hours = 24`.
    """
    output = Output(as_json, form)
    if markdown:
        typer.echo(settings_table())
        return
    from streams.settings import origin
    from streams.settings_file import SETTINGS_FILE

    now = load_settings()
    table = grid("variable", "value", "from")
    result = {}
    for name, field in type(now).model_fields.items():
        value, source = masked(getattr(now, name)), origin(name)
        if field.exclude and value:
            value = "***"
        table.add_row(_variable(name), escape(value), escape(source))
        result[_variable(name)] = {"value": value, "from": source}
    output.table(table)
    file = now.home.absolute() / SETTINGS_FILE
    if not file.exists():
        output.say(f"There is no {file}, the settings file of this folder.")
    output.finish({"settings": result, "file": str(file), "file_exists": file.exists()})


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
    if isinstance(value, list):
        return json.dumps([masked(one) if isinstance(one, str) else one for one in value])
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    return _PASSWORD.sub(r"\1:***@", _PASSWORD_OPTION.sub(r"\1***", text))


def _variable(name: str) -> str:
    return f"FACESTREAM_{name.upper()}"
