"""Serialises events as rows, in the protocol-buffer form that the Storage Write API takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sinks.base import Delivery, Result
from sinks.bigquery.columns import Column, Mode, RowInput, Type
from sinks.bigquery.tables import TABLES, Table, table_of

_Field = descriptor_pb2.FieldDescriptorProto
_PROTO_TYPES = {
    Type.STRING: _Field.TYPE_STRING,
    Type.BOOL: _Field.TYPE_BOOL,
    Type.INT64: _Field.TYPE_INT64,
    Type.FLOAT64: _Field.TYPE_DOUBLE,
    Type.TIMESTAMP: _Field.TYPE_INT64,
    Type.STRUCT: _Field.TYPE_MESSAGE,
}
_PROTO_LABELS = {
    Mode.REQUIRED: _Field.LABEL_REQUIRED,
    Mode.NULLABLE: _Field.LABEL_OPTIONAL,
    Mode.REPEATED: _Field.LABEL_REPEATED,
}


@dataclass(frozen=True, slots=True)
class RowWriter:
    """Serialises rows of one table; ``descriptor`` tells BigQuery how to read them."""

    table: Table
    descriptor: descriptor_pb2.DescriptorProto
    _message_class: Any

    def row(self, delivery: Delivery[Result], written_at: datetime, *, is_backfill: bool = False) -> bytes:
        """Serialise one row.

        Args:
            delivery: the event and its message.
            written_at: the time of writing.
            is_backfill: it was not written when it came, so the time of writing says nothing of a latency.

        Raises:
            ValueError: a text is not valid Unicode, or a number is out of its type's range.
            TypeError: likewise.
        """
        source = RowInput(delivery, written_at, is_backfill)
        message = self._message_class(**{column.name: column.value(source) for column in self.table.columns})
        serialized: bytes = message.SerializeToString()
        return serialized


def row_writer(event_type: type[Result]) -> RowWriter:
    """The row writer for a kind of event."""
    return _row_writer(table_of(event_type).name)


@cache
def _row_writer(table_name: str) -> RowWriter:
    table = next(table for table in TABLES if table.name == table_name)
    descriptor = _descriptor("Row", table.columns)
    file = descriptor_pb2.FileDescriptorProto(name=f"{table.name}.proto", package=f"facestream.{table.name}")
    file.message_type.add().CopyFrom(descriptor)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message_class = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.Row"))
    return RowWriter(table, descriptor, message_class)


def _descriptor(name: str, columns: tuple[Column, ...]) -> descriptor_pb2.DescriptorProto:
    """A self-contained message type: the types of its structs are nested in it, and named relative to it."""
    message = descriptor_pb2.DescriptorProto(name=name)
    for number, column in enumerate(columns, start=1):
        field = message.field.add(
            name=column.name, number=number, type=_PROTO_TYPES[column.type], label=_PROTO_LABELS[column.mode]
        )
        if column.type is Type.STRUCT:
            field.type_name = column.name.title()
            message.nested_type.add().CopyFrom(_descriptor(field.type_name, column.columns))
    return message
