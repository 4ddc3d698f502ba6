"""docker-compose.yml, run by a real engine as a project of its own, with stand-ins where no registry is reached."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streams.settings import Settings
from tests.containers import stand_ins
from tests.containers.engine import Engine, run
from tests.infra.dockerfile import stages
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PROJECT = "facestream-test"
READY_S = 1200.0
"""For everything to be healthy, on two cores that others use too."""

# In a container, everything but the first process, which is Docker's own, and the one that runs this.
KILL = """
import os, signal
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        os.kill(int(name), signal.SIGKILL)
"""


class ComposeStack:
    """The services of docker-compose.yml."""

    def __init__(self, engine: Engine, file: Path) -> None:
        self.engine = engine
        self._command = [
            *engine.compose,
            "--project-name",
            PROJECT,
            "--project-directory",
            str(ROOT),
            "--file",
            str(file),
        ]

    def compose(self, *arguments: str, timeout_s: float = READY_S) -> str:
        """What a command of Compose prints; raises as :meth:`Engine.docker`."""
        return run([*self._command, *arguments], self.engine.environment, timeout_s)

    def cli(self, *arguments: str) -> str:
        """What a command of facestream prints, run as users run it."""
        return self.compose("run", "--rm", "--no-TTY", "cli", *arguments)

    def up(self, *options: str) -> None:
        """Start what does not run, and wait until everything is healthy."""
        # Not with --wait, which gives up when a container is unhealthy for a while, as on a busy machine.
        self.compose("up", "--detach", "--no-build", *options)
        self.await_health()

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, oldest first."""
        return self.compose("ps", "--quiet", service).split()

    def kill(self, service: str) -> None:
        """Kill the processes in the first container of a worker, and wait until the engine has it running again."""
        container = self.containers(service)[0]
        before = self.engine.inspect(container)
        # Its own process is killed with the rest when the first one ends.
        subprocess.run(
            ["docker", "exec", container, "python", "-c", KILL],
            env=self.engine.environment,
            capture_output=True,
            timeout=120,
            check=False,
        )

        def is_back() -> bool:
            now = self.engine.inspect(container)
            return bool(now["RestartCount"] > before["RestartCount"] and now["State"]["Health"]["Status"] == "healthy")

        wait_until(is_back, READY_S, f"{service} is healthy again")

    def kill_and_start(self, service: str) -> None:
        """Kill a service as a whole, start it again, and wait until everything is healthy."""
        self.compose("kill", "--signal", "SIGKILL", service)
        self.compose("start", service)
        self.await_health()

    def restart(self, *services: str) -> None:
        """Have services end as they like, start them again, and wait until everything is healthy."""
        self.compose("restart", *services)
        self.await_health()

    def await_health(self) -> None:
        """Wait until every container is healthy."""

        def unhealthy() -> list[str]:
            found = [self.engine.inspect(one) for one in self.compose("ps", "--all", "--quiet").split()]
            return [
                one["Name"].removeprefix("/")
                for one in found
                if one["State"].get("Health", {}).get("Status") != "healthy" and not is_done(one)
            ]

        def is_done(container: Any) -> bool:
            state = container["State"]
            return bool(state["Status"] == "exited" and state["ExitCode"] == 0 and "prepare" in container["Name"])

        try:
            wait_until(lambda: not unhealthy(), READY_S, "every container is healthy")
        except AssertionError:
            for name in unhealthy():
                print(f"{name}:\n{self.engine.docker('logs', '--tail', '40', name)}")
            raise

    @property
    def settings(self) -> Settings:
        """For clients on this machine."""
        return Settings(
            kafka="127.0.0.1:9092",
            redis_url="redis://127.0.0.1:6379/0",
            bigquery_rest="http://127.0.0.1:9050",
            bigquery_grpc="127.0.0.1:9060",
        )


@contextmanager
def built(engine: Engine, report: Callable[[str], None]) -> Iterator[ComposeStack]:
    """The stack with its images built; removed with its volumes in the end. The images stay.

    Raises:
        stand_ins.NoStandIn: an image is not to be had.
        subprocess.CalledProcessError: the images cannot be built.
    """
    with tempfile.TemporaryDirectory(prefix="facestream-compose-") as folder:
        file = Path(folder, "compose.json")
        # By the name of the project, and so the volumes, which are removed in the end, are not those of a user's stack.
        shipped = ComposeStack(engine, ROOT / "docker-compose.yml")
        config = json.loads(shipped.compose("--profile", "*", "config", "--format", "json"))
        assert {volume["name"].partition("_")[0] for volume in config["volumes"].values()} == {PROJECT}
        _fit(config, engine, report)
        file.write_text(json.dumps(config), "utf-8")
        stack = ComposeStack(engine, file)
        stack.compose("build", timeout_s=7200)
        try:
            yield stack
        finally:
            stack.compose("--profile", "*", "down", "--volumes", "--timeout", "60")


def _fit(config: dict[str, Any], engine: Engine, report: Callable[[str], None]) -> None:
    """Change what this machine does not have: images, and options of a newer engine."""
    base = stages(ROOT / "infra" / "docker" / "Dockerfile")["base"].base
    python = stand_ins.image(engine, base, report)
    if engine.version < (25,):
        report(f"the engine {engine.version} knows no start intervals of health checks: they are left out")
    for service in config["services"].values():
        if engine.version < (25,):
            service.get("healthcheck", {}).pop("start_interval", None)
        if build := service.get("build"):
            if python != base:
                build |= {"network": "host", "args": build.get("args", {}) | {"PYTHON": python}}
        elif "@sha256:" in service["image"]:
            found = stand_ins.image(engine, service["image"], report)
            if found != service["image"]:
                service |= {"image": found, "pull_policy": "never"}
