"""Downloads the jars of Apache Kafka once into the user's cache; ``kafka.jars`` pins them with their digests."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests
from filelock import FileLock
from jgo.config import GlobalSettings
from jgo.maven import MavenContext
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from infra.cache import cached, sha256

VERSION = "4.1.1"
ROOTS = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.slf4j:slf4j-simple:1.7.36")
LOCK = Path(__file__).with_name("kafka.jars")


class JarUnavailable(Exception):
    """A jar could not be downloaded, or is not the pinned one."""


@dataclass(frozen=True)
class Jar:
    """A Maven artifact and the SHA-256 of its jar."""

    group: str
    artifact: str
    version: str
    digest: str

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.artifact}-{self.version}.jar"


def locked_jars() -> list[Jar]:
    """The jars that ``kafka.jars`` pins."""
    jars = []
    for line in LOCK.read_text("utf-8").splitlines():
        digest, coordinate = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, digest))
    return jars


def kafka_classpath(report: Callable[[str], None]) -> str:
    """The class path of Kafka for ``java -cp``. Downloads what is missing, at most 45 MB.

    Several processes may call this at once: one downloads, and the others wait for it.

    Raises:
        JarUnavailable: no Maven repository can be reached, or a digest differs.
    """
    name = f"kafka-{VERSION}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:8]}"
    return f"{jars_in_cache(locked_jars(), name, f'Apache Kafka {VERSION}', report)}/*"


def jars_in_cache(jars: list[Jar], name: str, what: str, report: Callable[[str], None]) -> Path:
    """The folder of this name in the cache, with the jars in it; downloads them if it is not there.

    Raises:
        JarUnavailable: as :func:`kafka_classpath`.
    """
    folder = cached(name)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _download(jars, folder, what, report)
    return folder


def _download(jars: list[Jar], folder: Path, what: str, report: Callable[[str], None]) -> None:
    part = folder.with_name(f"{folder.name}.part")
    part.mkdir(exist_ok=True)
    missing = [jar for jar in jars if not (part / jar.name).is_file()]
    # Each jar gets a context of its own, because jgo's contexts are not thread-safe.
    with ThreadPoolExecutor(8) as pool:
        for done, _ in enumerate(pool.map(lambda jar: _fetch(jar, part), missing), 1):
            if done % 10 == 0 or done == len(missing):
                report(f"downloading {what}: {done} of {len(missing)} jars")
    part.rename(folder)


@retry(
    retry=retry_if_exception_type(requests.RequestException),
    stop=stop_after_attempt(4),
    wait=wait_exponential(max=8),
    reraise=True,
)
def _resolve(jar: Jar, into: Path) -> Path:
    shutil.rmtree(into, ignore_errors=True)
    path: Path = _maven(into).project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    return path


def _fetch(jar: Jar, folder: Path) -> None:
    scratch = folder / f"{jar.name}.part"
    try:
        path = _resolve(jar, scratch)
    except (requests.RequestException, RuntimeError) as error:
        raise JarUnavailable(
            f"cannot download {jar.group}:{jar.artifact}:{jar.version} ({error}); "
            "a Maven repository has to be reachable once"
        ) from error
    if (digest := sha256(path)) != jar.digest:
        raise JarUnavailable(f"{jar.name} has the SHA-256 {digest}, but {jar.digest} is pinned: not used")
    path.rename(folder / jar.name)
    shutil.rmtree(scratch, ignore_errors=True)


def _maven(repository: Path) -> MavenContext:
    # A repository that the user has configured for jgo, such as a mirror, comes before Maven Central.
    configured = GlobalSettings.load().repositories
    return MavenContext(repo_cache=repository, remote_repos=configured or None, timeout=60)


def lock(scratch: Path) -> str:
    """Resolve Kafka's dependencies again, and return the new text of ``kafka.jars``."""
    maven = _maven(scratch)
    resolved, transitive = maven.resolver.resolve([maven.create_dependency(root) for root in ROOTS])
    lines = []
    for dependency in [*resolved, *transitive]:
        coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.artifact.version}"
        lines.append(f"{sha256(dependency.artifact.resolve())} {coordinate}\n")
    return "".join(sorted(lines, key=lambda line: line.split()[1]))


if __name__ == "__main__":
    LOCK.write_text(lock(Path(sys.argv[1])), "utf-8")
