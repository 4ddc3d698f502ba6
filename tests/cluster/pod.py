"""A pod of one container, as a process, with the environment, volumes, probes and end that its specification says."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from infra.cache import cache_dir
from tests.cluster import sandbox
from tests.cluster.api import Api

BROKEN = "broken"
"""An image with this tag is a release whose program fails at once."""
_TICK_S = 0.25
_LONGEST_BACKOFF_S = 20.0


class Pod(threading.Thread):
    """Starts the container again whenever it ends, until the pod is deleted."""

    def __init__(self, api: Api, found: Mapping[str, Any], folder: Path, address: str) -> None:
        meta = found["metadata"]
        super().__init__(name=meta["name"], daemon=True)
        self._api = api
        self._meta = meta
        self._spec = found["spec"]
        [self._container] = self._spec["containers"]
        self._folder = folder / f"{meta['name']}-{meta['uid'][:8]}"
        self._address = address
        self._path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        self._grace_s: float | None = None
        self._deleted = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts = 0
        self._said: object = None
        self._ready_since: tuple[bool, str] = (False, timestamp())

    def end(self, grace_s: float) -> None:
        """Have the container stopped, and the pod deleted; a later, shorter grace counts."""
        self._grace_s = grace_s if self._grace_s is None else min(grace_s, self._grace_s)
        self._deleted.set()

    def kill(self) -> None:
        """Kill the process at once."""
        self.end(0)
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)

    def run(self) -> None:
        """Until the pod is deleted."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            backoff = 1.0
            while not self._deleted.is_set():
                if (prepared := self._prepare()) is None:
                    self._deleted.wait(_TICK_S)
                    continue
                began = time.monotonic()
                reason = self._live(*prepared)
                if self._deleted.is_set():
                    break
                self._restarts += 1
                backoff = 1.0 if time.monotonic() - began > 60 else min(2 * backoff, _LONGEST_BACKOFF_S)
                self._say(False, {"waiting": {"reason": "CrashLoopBackOff", "message": reason}})
                self._deleted.wait(backoff)
            self._delete()
        except Exception:
            traceback.print_exc()

    def _live(self, command: list[str], environment: dict[str, str], mounts: list[sandbox.Mount]) -> str:
        """Run the container until it ends; say why it did."""
        with (self._folder / "log").open("ab") as log:
            root = self._folder / f"root-{self._restarts}"
            process = sandbox.start(command, environment, mounts, root, self._meta["name"], log)
        self._process = process
        running = {"running": {"startedAt": timestamp()}}
        self._say(False, running)
        startup, liveness, readiness = (
            self._probe(kind) for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        )
        while process.poll() is None:
            if self._deleted.is_set():
                self._stop(process)
                return "deleted"
            now = time.monotonic()
            if not startup.passed:
                if startup.failed_at(now, process):
                    self._stop(process)
                    return "the startup probe failed"
            else:
                if liveness.failed_at(now, process):
                    self._stop(process)
                    return "the liveness probe failed"
                readiness.failed_at(now, process)
            self._say(startup.passed and readiness.passed, running)
            self._deleted.wait(_TICK_S)
        return f"the program ended with {process.returncode}"

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """The hook before the stop, SIGTERM, and SIGKILL when the grace is over."""
        grace = self._grace_s if self._grace_s is not None else self._spec["terminationGracePeriodSeconds"]
        over = time.monotonic() + grace
        if hook := self._container.get("lifecycle", {}).get("preStop"):
            sandbox.run_in(process, hook["exec"]["command"], grace)
        _signal(process, signal.SIGTERM)
        while process.poll() is None:
            if time.monotonic() > over or self._grace_s == 0:
                print(self.name, "is killed: its grace is over", flush=True)
                _signal(process, signal.SIGKILL)
                process.wait()
            time.sleep(_TICK_S)

    def _delete(self) -> None:
        with suppress(requests.RequestException):
            self._api.delete(self._path)

    def _probe(self, kind: str) -> _Probe:
        return _Probe(self._container.get(kind), self._address, self._container)

    def _say(self, ready: bool, state: Mapping[str, Any]) -> None:
        """Report the state, where it has changed."""
        if self._said == (said := (ready, list(state), self._restarts)):
            return
        if self._ready_since[0] != ready:
            self._ready_since = (ready, timestamp())
        container = {
            "name": self._container["name"],
            "image": self._container["image"],
            "imageID": self._container["image"],
            "ready": ready,
            "started": "running" in state,
            "restartCount": self._restarts,
            "state": {"running": None, "waiting": None, **state},
        }
        conditions = [
            {"type": kind, "status": str(so), "lastTransitionTime": since}
            for kind, so, since in [
                ("PodScheduled", True, self._meta["creationTimestamp"]),
                ("Initialized", True, self._meta["creationTimestamp"]),
                ("ContainersReady", ready, self._ready_since[1]),
                ("Ready", ready, self._ready_since[1]),
            ]
        ]
        status = {
            "phase": "Running",
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "startTime": self._meta["creationTimestamp"],
            "conditions": conditions,
            "containerStatuses": [container],
        }
        try:
            self._api.merge(f"{self._path}/status", {"status": status})
        except requests.RequestException as error:
            print(self.name, "says it again:", error, flush=True)
            return
        print(timestamp(), self.name, "ready" if ready else "not ready", *state, self._restarts, flush=True)
        self._said = said

    # --- what the container gets ---

    def _prepare(self) -> tuple[list[str], dict[str, str], list[sandbox.Mount]] | None:
        """The command, the environment and the volumes; None where something of it is not there yet."""
        try:
            return self._command(), self._environment(), self._mounts()
        except requests.HTTPError as error:
            print(self.name, "waits:", error, flush=True)
        except LookupError as error:
            print(self.name, "waits for", error, flush=True)
        return None

    def _command(self) -> list[str]:
        if self._container["image"].endswith(f":{BROKEN}"):
            return ["sh", "-c", "echo this release is broken >&2; exit 1"]
        entry = self._container.get("command") or ["facestream"]
        return [self._here(part) for part in (*entry, *self._container.get("args", []))]

    def _here(self, value: str) -> str:
        """All addresses of the pod are the one that it has."""
        return self._address if value == "0.0.0.0" else value

    def _environment(self) -> dict[str, str]:
        made = {"FACESTREAM_HOME": sandbox.HOME, "FACESTREAM_CACHE": str(cache_dir()), "PYTHONUNBUFFERED": "1"}
        for source in self._container.get("envFrom", []):
            if "configMapRef" in source:
                made |= self._data("configmaps", source["configMapRef"])
            if "secretRef" in source:
                made |= self._data("secrets", source["secretRef"])
        for one in self._container.get("env", []):
            made[one["name"]] = self._value(one, made)
        return {name: self._here(value) for name, value in made.items()}

    def _value(self, one: Mapping[str, Any], made: Mapping[str, str]) -> str:
        if "value" in one or "valueFrom" not in one:
            return re.sub(r"\$\((\w+)\)", lambda name: made.get(name[1], name[0]), one.get("value", ""))
        source = one["valueFrom"]
        if "resourceFieldRef" in source:
            kind, _, name = source["resourceFieldRef"]["resource"].partition(".")
            return str(math.ceil(_cpus(self._container["resources"][kind][name])))
        raise NotImplementedError(f"no test needs {source}")

    def _data(self, kind: str, reference: Mapping[str, Any]) -> dict[str, str]:
        path = f"/api/v1/namespaces/{self._meta['namespace']}/{kind}/{reference['name']}"
        try:
            data: dict[str, str] = self._api.get(path).get("data", {})
        except requests.HTTPError as error:
            if reference.get("optional") and error.response.status_code == requests.codes.not_found:
                return {}
            raise
        return data

    def _mounts(self) -> list[sandbox.Mount]:
        volumes = {one["name"]: one for one in self._spec.get("volumes", [])}
        mounts = []
        for mount in self._container.get("volumeMounts", []):
            volume = volumes[mount["name"]]
            folder = self._folder / "volumes" / mount["name"]
            read_only = mount.get("readOnly", False)
            if claim := volume.get("persistentVolumeClaim"):
                folder = self._claimed(claim["claimName"])
                read_only = read_only or claim.get("readOnly", False)
            elif "emptyDir" in volume:
                folder.mkdir(parents=True, exist_ok=True)
            elif "secret" in volume:
                folder.mkdir(parents=True, exist_ok=True)
                secret = volume["secret"]
                if self._data("secrets", {"name": secret["secretName"], "optional": secret.get("optional")}):
                    raise NotImplementedError("no test needs the files of a Secret")
            else:
                raise NotImplementedError(f"no test needs {volume}")
            mounts.append(sandbox.Mount(folder, mount["mountPath"], read_only))
        return mounts

    def _claimed(self, name: str) -> Path:
        claim = self._api.get(f"/api/v1/namespaces/{self._meta['namespace']}/persistentvolumeclaims/{name}")
        if claim["status"].get("phase") != "Bound":
            raise LookupError(f"the volume of {name}")
        volume = self._api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
        return Path(volume["spec"]["hostPath"]["path"])


class _Probe:
    """A probe with its counts; where there is none, it has passed."""

    def __init__(self, spec: Mapping[str, Any] | None, address: str, container: Mapping[str, Any]) -> None:
        self._spec = spec or {}
        self.passed = spec is None
        self._address = address
        self._ports = {one["name"]: one["containerPort"] for one in container.get("ports", [])}
        self._failures = 0
        self._next = 0.0

    def failed_at(self, now: float, process: subprocess.Popen[bytes]) -> bool:
        """Ask, if it is time to; whether it has failed as often as it may."""
        if not self._spec or now < self._next:
            return False
        self._next = now + self._spec.get("periodSeconds", 10)
        if self._ask(process):
            self.passed, self._failures = True, 0
            return False
        self._failures += 1
        if self._failures < self._spec.get("failureThreshold", 3):
            return False
        self.passed = False
        return True

    def _ask(self, process: subprocess.Popen[bytes]) -> bool:
        timeout = self._spec.get("timeoutSeconds", 1)
        if "exec" in self._spec:
            return sandbox.run_in(process, self._spec["exec"]["command"], timeout)
        get = self._spec["httpGet"]
        port = self._ports.get(get["port"], get["port"])
        try:
            answer = requests.get(f"http://{self._address}:{port}{get['path']}", timeout=timeout)
        except requests.RequestException:
            return False
        return 200 <= answer.status_code < 400


def timestamp() -> str:
    """Now, as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _cpus(quantity: str) -> float:
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
