"""Makes the schema of an event complete in itself: every type that it shares with others is defined where it is used.

Any Avro library can read such a file alone. The shared types are declared in ``schemas/shared``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMESPACE = "facestream"
SHARED = Path(__file__).parent / "shared"
_NAMED = ("record", "enum", "fixed")
_INDENT = 2


def shared_types() -> dict[str, dict[str, Any]]:
    """The types in ``schemas/shared``, by full name."""
    types = (json.loads(path.read_text("utf-8")) for path in sorted(SHARED.glob("*.avsc")))
    return {_full_name(one): one for one in types}


def inlined(event: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of an event with each shared type defined at its first use, and named at the others.

    A definition that is in the event already is replaced by the shared one.

    Raises:
        KeyError: the event names a type that is neither shared nor its own.
    """
    complete: dict[str, Any] = _inlined(event, shared, set())
    return complete


def _inlined(schema: Any, shared: Mapping[str, Any], defined: set[str]) -> Any:
    if isinstance(schema, list):
        return [_inlined(branch, shared, defined) for branch in schema]
    if isinstance(schema, str):
        return _named(schema, shared, defined) if "." in schema else schema
    if schema["type"] in _NAMED:
        name = _full_name(schema)
        if name in shared:
            return _named(name, shared, defined)
        defined.add(name)
    return _with_parts(schema, shared, defined)


def _named(name: str, shared: Mapping[str, Any], defined: set[str]) -> Any:
    """The definition of a type where it is used first, afterwards its name."""
    if name in defined:
        return name
    defined.add(name)
    # The namespace is that of the event around it.
    declared = {key: value for key, value in shared[name].items() if key != "namespace"}
    return _with_parts(declared, shared, defined)


def _with_parts(schema: Mapping[str, Any], shared: Mapping[str, Any], defined: set[str]) -> dict[str, Any]:
    whole = dict(schema)
    if schema["type"] == "record":
        whole["fields"] = [field | {"type": _inlined(field["type"], shared, defined)} for field in schema["fields"]]
    for key in ("items", "values"):
        if key in schema:
            whole[key] = _inlined(schema[key], shared, defined)
    return whole


def _full_name(schema: Mapping[str, Any]) -> str:
    name: str = schema["name"]
    return name if "." in name else f"{schema.get('namespace', NAMESPACE)}.{name}"


def as_text(event: Mapping[str, Any]) -> str:
    """The text of an event's file: a line for each field of every record."""
    head = "".join(f'  "{key}": {_text(value, 0)},\n' for key, value in event.items() if key != "fields")
    fields = ",\n".join(f"    {_text(field, 2 * _INDENT)}" for field in event["fields"])
    return f'{{\n{head}  "fields": [\n{fields}\n  ]\n}}\n'


def _text(value: Any, indent: int) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_text(one, indent) for one in value)}]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    parts = []
    for key, inner in value.items():
        if key == "fields":
            pad = " " * (indent + _INDENT)
            lines = ",\n".join(f"{pad}{_text(field, indent + _INDENT)}" for field in inner)
            parts.append(f'"fields": [\n{lines}\n{" " * indent}]')
        else:
            parts.append(f"{json.dumps(key)}: {_text(inner, indent)}")
    return f"{{{', '.join(parts)}}}"
