"""Messages are read again from their positions, on a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from infra.services import LocalServices
from streams.engine import content_reader
from streams.engine.content_reader import ContentReader
from streams.kafka.connection import KafkaUnavailable, admin_client
from streams.kafka.messages import TopicPartition, to_confluent
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.settings import Settings
from tests.streams.engine.test_stage import numbers, send


@pytest.fixture
def settings(services: LocalServices, tmp_path: Path) -> Settings:
    prefix = f"contents-{uuid4().hex[:8]}-"
    settings = Settings(kafka=services.addresses.kafka, topic_prefix=prefix, home=tmp_path, partitions=2)
    create(admin_client(settings), settings)
    return settings


@pytest.fixture
def reader(settings: Settings) -> Iterator[ContentReader]:
    reader = ContentReader(settings)
    yield reader
    reader.close()


def test_what_lies_at_a_position_is_read_with_what_follows(
    settings: Settings, reader: ContentReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_reader, "_AT_ONCE", 4)
    monkeypatch.setattr(content_reader, "_MOST_MESSAGES", 8)
    send(settings, Topic.UPLOADS, numbers(30))
    send(settings, Topic.FRAMES, numbers(5), partition=1)
    source = TopicPartition(Topic.UPLOADS.named(settings), 0)
    messages, end = reader.read(source, 3)
    assert [one.value for one in messages] == numbers(30)[3:end] and 8 <= len(messages) < 12
    following, _ = reader.read(source, end)
    assert following[0].offset == end
    assert (following[0].source, following[0].key) == (source, b"user")
    other, end = reader.read(TopicPartition(Topic.FRAMES.named(settings), 1), 4)
    assert ([one.value for one in other], end) == ([b"4"], 5)
    assert reader.read(source, 0)[0][0].value == b"0"


def test_what_was_removed_is_told_by_where_the_log_begins(settings: Settings, reader: ContentReader) -> None:
    send(settings, Topic.UPLOADS, numbers(9))
    source = TopicPartition(Topic.UPLOADS.named(settings), 0)
    admin = admin_client(settings)
    (removed,) = admin.delete_records([to_confluent(source, 6)]).values()
    removed.result(30)
    assert reader.read(source, 2) == ([], 6)
    assert [one.offset for one in reader.read(source, 6)[0]] == [6, 7, 8]


def test_no_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_reader, "_SILENCE_S", 0.5)
    reader = ContentReader(Settings(kafka="127.0.0.1:1", home=tmp_path))
    with pytest.raises(KafkaUnavailable, match="cannot be read again from offset 3"):
        reader.read(TopicPartition("uploads", 0), 3)
    reader.close()
