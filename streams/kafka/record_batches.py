"""Record batches as they lie in the log: what cannot be decoded, why, and where the next one begins.

A client library gives up at such a batch. This looks at the bytes themselves, through aiokafka's connections.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatch

from streams.kafka.async_connection import async_client
from streams.kafka.messages import TopicPartition, to_aiokafka
from streams.settings import Settings

_TIMEOUT_S = 15.0
_WAIT_MS = 100
_FETCH_BYTES = 1024**2
_UNCOMMITTED = 0
"""A batch of an open transaction is no less to be looked at."""
_PREFIX = struct.Struct(">qi")
_HEADER_BYTES = 61
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_CONTROL = 0x20


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """One record batch.

    Attributes:
        first: its first offset.
        end: the offset behind its last, as far as its header is to be believed.
        codec: by which it is compressed.
        timestamp_ms: of its newest message.
        problem: why it cannot be decoded; None if it can.
    """

    first: int
    end: int
    codec: str
    timestamp_ms: int
    problem: str | None


def parse(data: bytes) -> Iterator[RecordBatch]:
    """The batches of a fetch; the last one may be cut off by the end of the fetch, or of the log."""
    at = 0
    while at < len(data):
        batch, size = _parse_one(data[at:])
        yield batch
        if size is None:
            return
        at += size


def _parse_one(data: bytes) -> tuple[RecordBatch, int | None]:
    """The batch with which the bytes begin and how long it is; None if what comes behind it cannot be told."""
    if len(data) < _HEADER_BYTES:
        first = int.from_bytes(data[:8], "big", signed=True) if len(data) >= 8 else 0
        return RecordBatch(first, first + 1, "none", 0, f"only {len(data)} bytes of it are there"), None
    first, length = _PREFIX.unpack_from(data)
    size = _PREFIX.size + length
    magic, attributes = data[16], int.from_bytes(data[21:23], "big")
    end = first + max(0, int.from_bytes(data[23:27], "big", signed=True)) + 1
    number = attributes & 7
    codec = _CODECS[number] if number < len(_CODECS) else f"codec {number}"
    at_ms = int.from_bytes(data[35:43], "big", signed=True)
    if size < _HEADER_BYTES:
        return RecordBatch(first, end, codec, at_ms, f"its length is {length} bytes, less than a header"), None
    if size > len(data):
        return RecordBatch(first, end, codec, at_ms, f"only {len(data)} of its {size} bytes are there"), None
    if magic != 2:
        return RecordBatch(first, end, codec, at_ms, f"its format is {magic}, not 2"), size
    return RecordBatch(
        first, end, codec, at_ms, _problem(data[:size], codec, control=bool(attributes & _CONTROL))
    ), size


def _problem(data: bytes, codec: str, *, control: bool) -> str | None:
    """Why a whole batch cannot be decoded, if it cannot."""
    try:
        batch = DefaultRecordBatch(data)
        if not batch.validate_crc():
            return "its checksum is wrong"
        if not control:
            for _ in batch:
                pass
    except Exception as error:  # decompression libraries raise what they like
        said = " ".join(str(error).split()) or type(error).__name__
        return f"its {'records' if codec == 'none' else codec} cannot be decoded: {said}"
    return None


@dataclass(frozen=True, slots=True)
class FetchedBatches:
    """What a broker gave for one partition from an offset on.

    Attributes:
        error: the broker's own word for what is wrong there; None if nothing is.
        end: the offset that the next message will get.
        batches: the batches, of which the first may begin before the offset; none where the broker finds none.
    """

    error: str | None
    end: int
    batches: tuple[RecordBatch, ...]


class BatchFetcher:
    """Fetches batches of a topic's partitions; an asynchronous context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AIOKafkaClient | None = None

    async def __aenter__(self) -> Self:
        self._client = async_client(self._settings, _TIMEOUT_S)
        try:
            await self._client.bootstrap()
        except KafkaError:
            await self._client.close()
            raise
        return self

    async def __aexit__(self, kind: object, error: object, at: object) -> None:
        if self._client is not None:
            await self._client.close()

    async def fetch(self, source: TopicPartition, offset: int, max_bytes: int = _FETCH_BYTES) -> FetchedBatches:
        """What there is from an offset on.

        Raises:
            KafkaError: no answer; ask again.
        """
        client = self._client
        assert client is not None
        await client.add_topic(source.topic)
        node = client.cluster.leader_for_partition(to_aiokafka(source))
        if node is None or node < 0:
            await client.force_metadata_update()
            raise errors.LeaderNotAvailableError(f"{source.topic} {source.partition} has no leader")
        asked = [(source.topic, [(source.partition, offset, max_bytes)])]
        response = await client.send(node, FetchRequest(_WAIT_MS, 1, max_bytes, _UNCOMMITTED, asked))
        ((_, ((_, code, end, *_, data),)),) = response.topics
        error = errors.for_code(code)
        if issubclass(error, errors.KafkaError) and error is not errors.NoError and error.retriable:
            await client.force_metadata_update()
            raise error(f"{source.topic} {source.partition} cannot be read now")
        return FetchedBatches(
            None if error is errors.NoError else error.__name__, end, tuple(parse(bytes(data or b"")))
        )
