"""A stack on this machine: which settings it takes, and what it leaves where it cannot start."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import pytest
from filelock import FileLock

from infra.services import LocalServices
from streams.devtools.local_stack import Stack
from streams.kafka.topic_record import TopicsLost
from streams.kafka.topics import TopicsError
from streams.settings import RUNNING_FILE, Settings
from tests.prepared_tables import with_tables


@pytest.fixture
def dataset(services: LocalServices, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let stacks use the BigQuery server of the whole run: these tests are not about its start. Returns a dataset."""
    at = services.addresses
    monkeypatch.setattr("infra.bigquery.start", lambda *_: (at.bigquery_rest, at.bigquery_grpc))
    return f"d{uuid.uuid4().hex[:8]}"


def _announced(folder: Path, **settings: object) -> Path:
    folder.mkdir()
    (folder / RUNNING_FILE).write_text(json.dumps({"settings": settings}))
    return folder


def test_a_new_stack_takes_no_settings_of_another_or_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = _announced(tmp_path / "other", topic_prefix="other.", candidates=9)
    own = _announced(tmp_path / "own", redis_prefix="earlier:", candidates=7)
    monkeypatch.setenv("FACESTREAM_HOME", str(other))
    monkeypatch.setenv("FACESTREAM_PARTITIONS", "2")
    with Stack(with_tables(own), print, batch_size=3) as stack:
        assert not (own / RUNNING_FILE).exists()
        now = stack.settings
        assert (now.topic_prefix, now.redis_prefix, now.candidates) == ("", "facestream:", 5)
        assert (now.home, now.partitions, now.batch_size) == (own, 2, 3)
        stack.announce()
        monkeypatch.setenv("FACESTREAM_HOME", str(own))
        assert Settings() == Settings(**now.model_dump())
    assert not (own / RUNNING_FILE).exists()


def test_a_stack_that_cannot_be_prepared_is_stopped(tmp_path: Path, dataset: str) -> None:
    stack = Stack(tmp_path, print, replication_factor=3, bigquery_dataset=dataset)
    with pytest.raises(TopicsError, match="uploads"):
        stack.start()
    assert not stack.services.supervisor.running()
    assert json.loads((tmp_path / "children.json").read_text()) == {}
    with FileLock(tmp_path / "lock", blocking=False):
        pass


def test_a_stack_whose_kafka_was_deleted_does_not_begin_as_if_nothing_had_been(tmp_path: Path, dataset: str) -> None:
    with Stack(tmp_path, print, partitions=1, bigquery_dataset=dataset):
        pass
    shutil.rmtree(tmp_path / "kafka")
    stack = Stack(tmp_path, print, partitions=1, bigquery_dataset=dataset)
    with pytest.raises(TopicsLost, match=r"models \(which model version answers\).*facestream up --accept-loss"):
        stack.start()
    assert not stack.services.supervisor.running()
    said: list[str] = []
    with Stack(tmp_path, said.append, partitions=1, bigquery_dataset=dataset, accept_loss=True):
        pass
    assert "topic models was gone and is created anew: what it held is lost" in said
