from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra import jars

CONTENT = {"one": b"first jar", "two": b"second jar"}


class Repository(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A Maven repository on this machine that jgo is configured for; yields the paths that it was asked for."""
    root = tmp_path / "repository"
    for name, content in CONTENT.items():
        folder = root / "org" / "example" / name / "1.0"
        folder.mkdir(parents=True)
        (folder / f"{name}-1.0.jar").write_bytes(content)
        (folder / f"{name}-1.0.jar.sha1").write_text(hashlib.sha1(content).hexdigest())
    asked: list[str] = []
    handler = type("Handler", (Repository,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = tmp_path / "jgo.conf"
        config.write_text(f"[repositories]\nhere = http://127.0.0.1:{server.server_port}\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
        monkeypatch.setenv("FACESTREAM_CACHE", str(tmp_path / "cache"))
        yield asked
        server.shutdown()


def pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, bytes]) -> None:
    lock = tmp_path / "kafka.jars"
    lock.write_text(
        "".join(f"{hashlib.sha256(data).hexdigest()} org.example:{name}:1.0\n" for name, data in content.items())
    )
    monkeypatch.setattr(jars, "LOCK", lock)


def test_jars_are_downloaded_once_however_many_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: list[str]
) -> None:
    pin(tmp_path, monkeypatch, CONTENT)
    reports: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: jars.kafka_classpath(reports.append), range(4)))
    folder = Path(paths.pop().removesuffix("/*"))
    assert not paths
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"{name}-1.0.jar": content for name, content in CONTENT.items()
    }
    assert sorted(path.rsplit("/", 1)[1] for path in repository if path.endswith(".jar")) == [
        "one-1.0.jar",
        "two-1.0.jar",
    ]
    assert reports == [f"downloading Apache Kafka {jars.VERSION}: 2 of 2 jars"]


def test_a_jar_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: list[str]
) -> None:
    pin(tmp_path, monkeypatch, {**CONTENT, "two": b"another second jar"})
    for _ in range(2):
        with pytest.raises(jars.JarUnavailable, match=r"two-1\.0\.jar has the SHA-256"):
            jars.kafka_classpath(print)
    # What was good is not downloaded again once the pin is right.
    del repository[:]
    pin(tmp_path, monkeypatch, CONTENT)
    jars.kafka_classpath(print)


def test_a_repository_that_lacks_a_jar_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: list[str]
) -> None:
    pin(tmp_path, monkeypatch, {"three": b""})
    with pytest.raises(jars.JarUnavailable, match=r"cannot download org\.example:three:1\.0"):
        jars.kafka_classpath(print)


def test_every_pinned_jar_is_of_the_version_that_is_named() -> None:
    pinned = {f"{jar.group}:{jar.artifact}:{jar.version}" for jar in jars.locked_jars()}
    assert set(jars.ROOTS) <= pinned
    assert {jar.version for jar in jars.locked_jars() if jar.group == "org.apache.kafka"} == {jars.VERSION}
