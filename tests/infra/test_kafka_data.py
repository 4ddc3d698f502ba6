"""Kafka's data: what is damaged comes back, what is gone is said, and nothing is begun anew where something was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest
import tenacity
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from infra import kafka
from infra.jars import VERSION, kafka_classpath
from infra.kafka_data import METADATA, DataLost, Kept, end_offset, partitions
from infra.kafka_patch import CLASS, UnknownClass, mend
from infra.ports import free_ports
from infra.supervisor import ChildFailed, Supervisor

SEGMENT = f"{0:020d}.log"
ENDS = (OffsetSpec.earliest(), OffsetSpec.latest())
STRAY = f".{32 * 'a'}-stray"


@contextmanager
def _broker(folder: Path, said: list[str] | None = None) -> Iterator[tuple[str, Supervisor]]:
    with Supervisor() as supervisor:
        said = [] if said is None else said
        yield kafka.start(supervisor, folder, *free_ports(2), said.append), supervisor


def _records(address: str) -> list[int]:
    """How many records each of the topic's partitions holds; no group is asked for, whose topic would be made then."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    return [last - first for first, last in zip(*(_offsets(admin, at) for at in ENDS), strict=True)]


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(KafkaException),
    stop=tenacity.stop_after_delay(60),
    wait=tenacity.wait_fixed(0.2),
)
def _offsets(admin: AdminClient, at: OffsetSpec) -> list[int]:
    asked = admin.list_offsets({TopicPartition("faces", number): at for number in range(3)}, request_timeout=30)
    return [offset for _, offset in sorted((one.partition, told.result(60).offset) for one, told in asked.items())]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Kafka that was killed, with a topic of three partitions and ten records in each."""
    folder = tmp_path_factory.mktemp("used")
    with _broker(folder) as (address, supervisor):
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        admin.create_topics([NewTopic("faces", 3, 1)])["faces"].result(60)
        producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "log_level": 0})
        for number in range(30):
            producer.produce("faces", b"record", partition=number % 3)
        assert producer.flush(60) == 0
        assert _records(address) == [10, 10, 10]
        supervisor.kill("kafka")
        Kept(folder / "data").take()
    return folder


@pytest.fixture
def folder(used: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(used, tmp_path / "kafka"))


def _remove_metadata(data: Path) -> None:
    shutil.rmtree(data / METADATA)


def _set_all_aside(data: Path) -> None:
    """As Kafka leaves it when it has begun a new metadata log."""
    os.truncate(data / METADATA / SEGMENT, 0)
    for name in partitions(data):
        (data / name).rename(data / f"{name}{STRAY}")


def _spoil_notes(data: Path) -> None:
    for note in [*data.glob("*-checkpoint"), data / "faces-1" / "leader-epoch-checkpoint"]:
        note.write_bytes(b"\0rubbish")
    (data / "faces-2" / "partition.metadata").unlink()
    (data / "meta.properties").unlink()
    (data / "bootstrap.checkpoint").unlink()


@pytest.mark.parametrize("damage", [_set_all_aside, _spoil_notes])
def test_what_is_damaged_comes_back(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "data")
    said: list[str] = []
    with _broker(folder, said) as (address, _):
        assert _records(address) == [10, 10, 10]
    assert said and all("back" in line or "rebuilds" in line for line in said)
    assert not list((folder / "data").glob("*-stray"))


@pytest.mark.parametrize("damage", [_remove_metadata, lambda data: os.truncate(data / METADATA / SEGMENT, 500)])
def test_the_metadata_log_comes_back_from_its_copy(folder: Path, damage: Callable[[Path], None]) -> None:
    whole = end_offset(folder / "data" / METADATA)
    damage(folder / "data")
    assert end_offset(folder / "data" / METADATA) < whole
    said: list[str] = []
    Kept(folder / "data").make_whole(said.append)
    assert end_offset(folder / "data" / METADATA) == whole
    assert len(said) == 1 and "list of topics" in said[0]
    Kept(folder / "data").make_whole(said.append)
    assert len(said) == 1, "a folder that is whole is left alone"


def _remove_partition(data: Path) -> None:
    shutil.rmtree(data / "faces-1")


def _remove_segment(data: Path) -> None:
    (data / "faces-1" / SEGMENT).unlink()


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (_remove_partition, r"records of faces \(1\) are gone"),
        (_remove_segment, r"records of faces \(1\) are gone"),
        (shutil.rmtree, r"records of faces \(3\) are gone"),
        (lambda data: (shutil.rmtree(data), data.mkdir()), r"records of faces \(3\) are gone"),
    ],
    ids=["a partition", "a segment", "the folder", "all in it"],
)
def test_what_is_gone_is_a_loss_and_nothing_begins_anew(
    folder: Path, damage: Callable[[Path], object], lost: str
) -> None:
    damage(folder / "data")
    left = sorted(folder.rglob("*"))
    with Supervisor() as supervisor:
        for _ in range(2):
            with pytest.raises(DataLost, match=rf"{lost}.*facestream up --accept-loss"):
                kafka.start(supervisor, folder, *free_ports(2), print)
        assert not supervisor.running()
    made = {"classes", "server.properties"}
    assert [path for path in sorted(folder.rglob("*")) if path.parts[len(folder.parts)] not in made] == [
        path for path in left if path.parts[len(folder.parts)] not in made
    ]


def test_without_a_copy_a_folder_without_metadata_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "kept")
    _remove_metadata(folder / "data")
    with pytest.raises(DataLost, match=r"records of faces \(3\), but not which topics"):
        Kept(folder / "data").make_whole(print)


def test_a_loss_that_is_accepted_is_passed(folder: Path) -> None:
    _remove_partition(folder / "data")
    Kept(folder / "data").accept_loss(print)
    with _broker(folder) as (address, _):
        assert _records(address) == [10, 0, 10]
    shutil.rmtree(folder / "data")
    Kept(folder / "data").accept_loss(print)
    Kept(folder / "data").make_whole(print)
    assert not partitions(folder / "data")


def test_data_of_another_cluster_are_no_damage(folder: Path) -> None:
    meta = folder / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("cluster.id=", "cluster.id=other"))
    (folder / "data" / "faces-1").rename(folder / "data" / "others-1")
    Kept(folder / "data").make_whole(pytest.fail)


def test_a_copy_follows_the_log(folder: Path) -> None:
    data, copy = folder / "data", folder / "kept" / METADATA / SEGMENT
    shutil.rmtree(folder / "kept")
    log = (data / METADATA / SEGMENT).read_bytes()
    for size in (600, 900, len(log), 700):
        (data / METADATA / SEGMENT).write_bytes(log[:size])
        Kept(data).take()
        assert copy.read_bytes() == log[:size]
    assert not list(folder.glob("kept.*"))


def test_kafka_that_cannot_write_while_it_recovers_throws_nothing_away(folder: Path) -> None:
    """A full disk in the midst of a recovery: here something that cannot be written over is in the way."""
    metadata, records = folder / "data" / METADATA, folder / "data" / "faces-1"
    whole = end_offset(metadata)
    in_the_way = [metadata / f"{whole:020d}.snapshot", records / f"{10:020d}.snapshot"]
    for number, path in enumerate(in_the_way):
        (path / "something").mkdir(parents=True)
        with Supervisor() as supervisor, pytest.raises(ChildFailed, match="ended with 1 while it started") as failed:
            kafka.start(supervisor, folder, *free_ports(2), print)
        assert "\tat " not in str(failed.value), "no pages of Java's"
        assert end_offset(metadata) >= whole
        assert (records / SEGMENT).stat().st_size > 0, number
        shutil.rmtree(path)
    with _broker(folder) as (address, _):
        assert _records(address) == [10, 10, 10]


def test_the_patch_is_made_for_this_kafka_and_no_other() -> None:
    with ZipFile(Path(kafka_classpath(print)).parent / f"kafka-storage-{VERSION}.jar") as jar:
        original = jar.read(CLASS)
    assert sum(one != other for one, other in zip(original, mend(original), strict=True)) == 2
    with pytest.raises(UnknownClass, match="kafka_patch"):
        mend(original + b"\0")
