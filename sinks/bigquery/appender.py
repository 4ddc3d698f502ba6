"""Appends rows to one write stream. Each append has a fixed offset, so that one sent twice is written once.

An append is *unsettled* until BigQuery has answered it. While the connection lives, the answer is awaited, over several
calls if necessary; a slow append is not sent again. When the connection breaks, all unsettled appends are sent again,
the same rows at the same offsets; the answer ``ALREADY_EXISTS`` then means that an append had been written before.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

import grpc
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient
from google.cloud.bigquery_storage_v1.types import AppendRowsResponse, StorageError
from google.protobuf.descriptor_pb2 import DescriptorProto

from sinks.base import Delivery, Result, SinkUnavailable
from sinks.bigquery.connection import Closed, Connection, NoAnswer

_SILENCE_S = 300.0
"""A connection counts as dead after this long without a pending answer."""
_OK = grpc.StatusCode.OK.value[0]
_INVALID = grpc.StatusCode.INVALID_ARGUMENT.value[0]
_EXISTS = grpc.StatusCode.ALREADY_EXISTS.value[0]
_GONE = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
_GONE_NUMBERS = {code.value[0] for code in (*_GONE, grpc.StatusCode.OUT_OF_RANGE)} - {_INVALID}
_SCHEMA_BEHIND = {StorageError.StorageErrorCode.SCHEMA_MISMATCH_EXTRA_FIELDS}
_LOST = {
    StorageError.StorageErrorCode.STREAM_NOT_FOUND,
    StorageError.StorageErrorCode.STREAM_FINALIZED,
    StorageError.StorageErrorCode.STREAM_ALREADY_COMMITTED,
    StorageError.StorageErrorCode.INVALID_STREAM_STATE,
    StorageError.StorageErrorCode.INVALID_STREAM_TYPE,
}


class StreamLost(Exception):
    """The write stream takes no more rows: a successor has finalised it, or the server has lost it."""


@dataclass(frozen=True, slots=True)
class Append:
    """The rows of one request, and the deliveries that they were made from."""

    rows: list[bytes]
    deliveries: list[Delivery[Result]]


@dataclass(frozen=True, slots=True)
class Refused:
    """An append that BigQuery will never accept; ``reasons`` are by row index, and empty if it blames no row."""

    append: Append
    reasons: dict[int, str]
    message: str


class Appender:
    """One write stream, and the connection to it while there is something to append."""

    def __init__(self, client: BigQueryWriteClient, stream: str, schema: DescriptorProto) -> None:
        """The stream must be new, and nobody else may write to it."""
        self.stream = stream
        self._client = client
        self._schema = schema
        self._connection: Connection | None = None
        self._next_offset = 0
        self._unsettled: deque[tuple[int, Append]] = deque()
        self._refused: Refused | None = None

    def send(self, append: Append) -> None:
        """Send an append without waiting for the answer. All appends of earlier batches must be settled."""
        if self._connection is not None and self._connection.ended and not self._unsettled:
            self.disconnect()
        self._unsettled.append((self._next_offset, append))
        if self._connection is not None:
            self._connection.send(append.rows, self._next_offset)
        self._next_offset += len(append.rows)

    def settle(self, deadline: float, on_written: Callable[[Append], None]) -> Refused | None:
        """Wait until every append is answered.

        Args:
            deadline: in seconds of the monotonic clock.
            on_written: called with each append that was written.

        Returns:
            The append that BigQuery refused; None if there is none. The appends after it are not written and are
            dropped: send them again.

        Raises:
            SinkUnavailable: not all answers came before the deadline; call again.
            StreamLost: unsettled appends may have been written, and may still be until the stream is finalised.
        """
        while self._unsettled:
            if self._connection is None:
                self._connect()
            self._take(self._receive(deadline), on_written)
        refused, self._refused = self._refused, None
        return refused

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        self._connection = Connection(self._client, self.stream, self._schema)
        for offset, append in self._unsettled:
            self._connection.send(append.rows, offset)

    def _receive(self, deadline: float) -> AppendRowsResponse:
        assert self._connection is not None
        try:
            return self._connection.receive(deadline - time.monotonic())
        except NoAnswer as error:
            silence_s = time.monotonic() - self._connection.last_heard
            if silence_s > _SILENCE_S:
                self._break("no answer")
            raise SinkUnavailable(f"BigQuery has not answered for {silence_s:.0f} s") from error
        except Closed as error:
            if error.code in _GONE:
                self.disconnect()
                raise StreamLost(str(error)) from error
            self._break(str(error))
            raise SinkUnavailable(f"BigQuery: {error}") from error

    def _break(self, why: str) -> None:
        """Drop the connection, so that all unsettled appends are sent again.

        Raises:
            StreamLost: an append was refused. Its offsets would be used for other rows, but old appends to them may
                still arrive.
        """
        self.disconnect()
        if self._refused is not None:
            raise StreamLost(f"the connection broke after a refusal: {why}")

    def _take(self, answer: AppendRowsResponse, on_written: Callable[[Append], None]) -> None:
        """Process the answer to the oldest unsettled append."""
        code, message = answer.error.code, answer.error.message
        offset, append = self._unsettled[0]
        if self._refused is not None:
            if code == _OK:
                self.disconnect()
                raise StreamLost("an append was written after a refused one")
            self._unsettled.popleft()
        elif code in (_OK, _EXISTS):
            self._unsettled.popleft()
            on_written(append)
        elif answer.row_errors or (code == _INVALID and not _is_lost(answer)):
            if _has_detail(answer, _SCHEMA_BEHIND):
                self.disconnect()
                raise SinkUnavailable(f"run `facestream bigquery apply`, a table lacks a column: {message}")
            self._unsettled.popleft()
            self._next_offset = offset
            self._refused = Refused(append, {error.index: error.message for error in answer.row_errors}, message)
        elif code in _GONE_NUMBERS or code == _INVALID:
            self.disconnect()
            raise StreamLost(message)
        else:
            # Later appends cannot be written before it, so all can be sent again in order.
            self.disconnect()
            raise SinkUnavailable(f"BigQuery: code {code}: {message}")


def _has_detail(answer: AppendRowsResponse, codes: Collection[int]) -> bool:
    """Whether the details of an error contain one of the codes."""
    for detail in answer.error.details:
        error = StorageError.pb()()
        if detail.Unpack(error):
            return error.code in codes
    return False


def _is_lost(answer: AppendRowsResponse) -> bool:
    # A server without error details says it in the message.
    return _has_detail(answer, _LOST) or "finalized" in answer.error.message.lower()
