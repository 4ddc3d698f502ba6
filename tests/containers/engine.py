"""Docker's engine and Compose: those of this machine, or else an engine that is started and a Compose that is built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.cache import cached
from tests.waiting import wait_until

COMPOSE = "v2.40.3"
"""What is built from source where Docker's client has no Compose; it needs Go."""


class NoEngine(Exception):
    """There is no engine, and none can be started; the message says what is missing."""


@dataclass(frozen=True)
class Engine:
    """Runs Docker's commands.

    Attributes:
        environment: of the commands.
        compose: the command ``docker compose``.
    """

    environment: Mapping[str, str]
    compose: Sequence[str]

    def docker(self, *arguments: str | Path, timeout_s: float = 600) -> str:
        """What a command prints.

        Raises:
            subprocess.CalledProcessError: it failed; what it said has been printed.
            subprocess.TimeoutExpired: it took longer.
        """
        return run(["docker", *map(str, arguments)], self.environment, timeout_s)

    def has(self, image: str) -> bool:
        """Whether an image is here."""
        found = subprocess.run(
            ["docker", "image", "inspect", image], env=self.environment, capture_output=True, timeout=60, check=False
        )
        return found.returncode == 0

    def inspect(self, what: str) -> Any:
        """The description of an image or a container."""
        return json.loads(self.docker("inspect", what))[0]

    @property
    def version(self) -> tuple[int, ...]:
        """The engine's."""
        return tuple(int(part) for part in self.docker("version", "--format", "{{.Server.Version}}").split(".")[:2])


def run(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> str:
    """What a command prints; raises as :meth:`Engine.docker`."""
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
    if ended.returncode:
        print(f"$ {' '.join(command)}\n{ended.stdout[-4000:]}\n{ended.stderr[-8000:]}")
        ended.check_returncode()
    return ended.stdout


@contextmanager
def running_engine() -> Iterator[Engine]:
    """The engine that Docker's client finds; where there is none, one that runs meanwhile, for which one must be root.

    Raises:
        NoEngine: none runs, and none can be started.
    """
    if shutil.which("docker") is None:
        raise NoEngine("no Docker client: install Docker (Debian: apt-get install docker.io)")
    # Compose builds with what is in it: its default needs another plugin.
    environment = {**os.environ, "COMPOSE_BAKE": "false", "BUILDKIT_PROGRESS": "plain"}
    if _answers(environment):
        yield Engine(environment, _compose(environment))
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise NoEngine("no Docker engine answers, and only root can start one, with dockerd")
    with tempfile.TemporaryDirectory(prefix="facestream-docker-") as folder:
        environment["DOCKER_HOST"] = f"unix://{folder}/docker.sock"
        # What is built stays for the next time.
        kept = cached("docker")
        kept.mkdir(parents=True, exist_ok=True)
        where = ["--data-root", kept, "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
        with (
            Path(folder, "log").open("w+", encoding="utf-8") as log,
            subprocess.Popen(["dockerd", *where, "--host", environment["DOCKER_HOST"]], stderr=log) as process,
        ):
            print(f"no engine answered, so dockerd was started, with its data in {kept}")
            try:
                wait_until(lambda: _answers(environment) or process.poll() is not None, 120, "the engine answers")
                if process.poll() is not None:
                    log.seek(0)
                    raise NoEngine(f"dockerd ended:\n{log.read()[-2000:]}")
                yield Engine(environment, _compose(environment))
            finally:
                process.terminate()
                process.wait(120)


def _answers(environment: Mapping[str, str]) -> bool:
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _compose(environment: Mapping[str, str]) -> Sequence[str]:
    plugin = ["docker", "compose"]
    if subprocess.run([*plugin, "version"], env=environment, capture_output=True, check=False).returncode == 0:
        return plugin
    program = cached(f"compose-{COMPOSE}") / "docker-compose"
    if not program.exists():
        if shutil.which("go") is None:
            raise NoEngine("Docker's client has no Compose, and there is no Go to build it with")
        print(f"Docker's client has no Compose, so {COMPOSE} is built, which takes minutes")
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="facestream-compose-") as folder:
            module = f"github.com/docker/compose/v2@{COMPOSE}"
            found = json.loads(run(["go", "mod", "download", "-json", module], environment, 600))
            source = shutil.copytree(found["Dir"], Path(folder, "source"))
            for path in (source, *source.rglob("*")):
                path.chmod(path.stat().st_mode | 0o200)
            partial = program.with_suffix(".partial")
            build = ["go", "build", "-C", str(source), "-trimpath", "-ldflags", "-s -w", "-o", str(partial), "./cmd"]
            run(build, {**environment, "CGO_ENABLED": "0"}, 3600)
            partial.rename(program)
    return [str(program)]
