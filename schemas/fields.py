"""The fields of each kind of event, as its Avro schema describes them. Columns and JSON are derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from schemas import registry


class Kind(StrEnum):
    """The type of a field, or of its items if it is repeated."""

    STRING = "string"
    BYTES = "bytes"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    FLOAT = "float"
    TIME = "time"
    ENUM = "enum"
    RECORD = "record"
    MAP = "map"
    UNION = "union"


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    A field of kind ``RECORD`` has fields of its own, and ``record`` is the name of its class. The ``fields`` of a
    ``UNION`` are its records.
    """

    name: str
    kind: Kind
    doc: str
    nullable: bool = False
    repeated: bool = False
    record: str = ""
    fields: tuple[Field, ...] = ()

    def __getitem__(self, name: str) -> Field:
        """The field of a record, by name.

        Raises:
            KeyError: there is no such field.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.record or self.name} has no field {name}")


_PRIMITIVES = {
    "string": Kind.STRING,
    "bytes": Kind.BYTES,
    "boolean": Kind.BOOLEAN,
    "int": Kind.INTEGER,
    "long": Kind.INTEGER,
    "float": Kind.FLOAT,
    "double": Kind.FLOAT,
}


def record_of(event_type: type) -> Field:
    """An event as a record.

    Raises:
        KeyError: the class has no schema.
    """
    parsed = registry.newest(event_type).parsed
    return _field(event_type.__name__, parsed, parsed["doc"], {})


def _field(name: str, schema: Any, doc: str, named: dict[str, Any]) -> Field:
    nullable = repeated = False
    record, fields = "", tuple[Field, ...]()
    if isinstance(schema, list) and len(schema) == 2 and "null" in schema:
        nullable = True
        (schema,) = (branch for branch in schema if branch != "null")
    if isinstance(schema, dict) and schema["type"] == "array":
        repeated, schema = True, schema["items"]
    if isinstance(schema, str) and schema in named:
        schema = named[schema]
    if isinstance(schema, dict) and schema["type"] in ("record", "enum"):
        named[schema["name"]] = schema
    kind = _kind(schema)
    if kind is Kind.RECORD:
        record = schema["name"].rpartition(".")[2]
        fields = tuple(_field(one["name"], one["type"], one["doc"], named) for one in schema["fields"])
    elif kind is Kind.UNION:
        fields = tuple(_field(one["name"], one, one["doc"], named) for one in schema)
    return Field(name, kind, doc, nullable, repeated, record, fields)


def _kind(schema: Any) -> Kind:
    if isinstance(schema, list):
        return Kind.UNION
    if isinstance(schema, str):
        return _PRIMITIVES[schema]
    if schema.get("logicalType") == "timestamp-micros":
        return Kind.TIME
    return _PRIMITIVES.get(schema["type"]) or Kind(schema["type"])
