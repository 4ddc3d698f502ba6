"""How many bytes a frame leaves behind in each place."""

from __future__ import annotations

import itertools
import re
from contextlib import closing
from pathlib import Path

from schemas.clock import utc_now
from schemas.results import Match
from sinks.base import Delivery
from sinks.bigquery.rows import row_writer
from sinks.redis.address import RedisAddress
from sinks.redis.connection import connect
from streams.devtools.local_stack import Stack
from streams.kafka.connection import admin_client
from streams.kafka.decoding import read
from streams.kafka.log_reader import LogReader
from streams.kafka.messages import TopicPartition
from streams.kafka.offsets import appended_offsets
from streams.kafka.topics import Topic
from streams.settings import Settings

_ON_THE_WAY = (Topic.FRAMES, Topic.EMBEDDINGS, Topic.MATCHES)
_ROWS = 20
_PARTITION = re.compile(r"(.+)-\d+")


def bytes_per_record(stack: Stack) -> dict[str, int]:
    """Mean bytes of a record in Kafka's files, by topic, and of a match's row as it is sent to BigQuery."""
    settings, admin = stack.settings, admin_client(stack.settings)
    files = log_bytes(stack.folder / "kafka" / "data")
    found = {}
    for topic in _ON_THE_WAY:
        partitions = [TopicPartition(topic.named(settings), number) for number in range(settings.partitions)]
        records = sum(appended_offsets(admin, partitions).values())
        found[f"kafka {topic}"] = round(files.get(topic.named(settings), 0) / max(records, 1))
    return found | {"bigquery matches": _row_bytes(settings)}


def log_bytes(data: Path) -> dict[str, int]:
    """Bytes of the log files in Kafka's folder of data, by topic."""
    found: dict[str, int] = {}
    for file in data.rglob("*.log"):
        if partition := _PARTITION.fullmatch(file.parent.name):
            found[partition[1]] = found.get(partition[1], 0) + file.stat().st_size
    return found


def redis_bytes(settings: Settings) -> int:
    """Memory that Redis uses for data and for itself."""
    with closing(connect(RedisAddress.of(settings))) as client:
        return int(client.info("memory")["used_memory"])


def answer_bytes(settings: Settings) -> int:
    """Mean memory of an answer in Redis under its event id; what else there is of it are the live streams."""
    with closing(connect(RedisAddress.of(settings))) as client:
        keys = itertools.islice(client.scan_iter(f"{settings.redis_prefix}result:*"), _ROWS)
        sizes = [client.memory_usage(key) or 0 for key in keys]
    return round(sum(sizes) / len(sizes)) if sizes else 0


def _row_bytes(settings: Settings) -> int:
    writer, now = row_writer(Match), utc_now()
    with LogReader(settings, Topic.MATCHES) as log:
        rows = [
            len(writer.row(Delivery(one.source, one.offset, read(one, Match)), now))
            for one in log.messages(log.last(_ROWS))
        ]
    return round(sum(rows) / len(rows)) if rows else 0
