"""Releases, drains and scaling in a cluster, with real workers on a real Kafka under load: `make test-cluster`.

The control plane is Kubernetes' own, with the manifests as they are applied; only the containers are processes of this
machine (``pod.py``), without an image, and with the vectors of the load tests.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from infra.services import LocalServices
from streams.devtools.benchmarks.load import Load, gap_s
from streams.devtools.reconciliation import Reconciliation
from streams.roles import ANSWERING, Role
from streams.settings import Settings
from tests.cluster import plane
from tests.cluster.api import Api
from tests.cluster.kubelet import PROVISIONER
from tests.cluster.pod import BROKEN
from tests.kubectl import MANIFESTS
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not plane.is_there(), reason="`make test-cluster` builds the control plane, and runs this"),
]
ROOT = Path(__file__).parents[2]
NODES = ["node-a", "node-b", "node-c"]
IMAGE = "registry.example.com/facestream"
NAMESPACE = "/api/v1/namespaces/facestream"
EVENTS_PER_S = 8.0
_END_S = 60.0
OTHERS = [*sorted({str(role) for role in Role} - {*ANSWERING, "search"}), "gateway"]


class Watch:
    """The fewest pods of each role that worked at once, since it was last asked; a context manager.

    A pod works from when it is ready for the first time until it is asked to end. On a busy machine it may be late with
    an answer to a probe in between.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._fewest: dict[str, int] = {}
        self._were_ready: set[str] = set()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def fewest(self) -> dict[str, int]:
        """By role; the count begins anew."""
        with self._lock:
            seen, self._fewest = self._fewest, {}
        return seen

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            there = pods(self._api)
            self._were_ready |= {pod["metadata"]["uid"] for pod in there if is_ready(pod)}
            work = Counter(
                role(pod)
                for pod in there
                if pod["metadata"]["uid"] in self._were_ready and "deletionTimestamp" not in pod["metadata"]
            )
            with self._lock:
                for one in ANSWERING:
                    self._fewest[one] = min(self._fewest.get(one, 99), work[one])


def pods(api: Api) -> list[dict[str, Any]]:
    return api.list(f"{NAMESPACE}/pods")


def role(pod: dict[str, Any]) -> str:
    name: str = pod["metadata"]["labels"]["app.kubernetes.io/component"]
    return name


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def images(api: Api) -> dict[str, set[str]]:
    """The images of the pods of each role, without those that were asked to end."""
    found: dict[str, set[str]] = defaultdict(set)
    for pod in pods(api):
        if "deletionTimestamp" not in pod["metadata"]:
            found[role(pod)].add(pod["spec"]["containers"][0]["image"])
    return dict(found)


def overlay(folder: Path, settings: dict[str, str], tag: str, replicas: dict[str, int]) -> Path:
    """An overlay on that for one node, with the addresses of the services and the vectors of the load tests."""
    folder.mkdir(parents=True, exist_ok=True)
    workers = "app.kubernetes.io/component notin (gateway, prepare)"
    end = "/spec/template/spec/containers/0/args/-"
    digest = [{"op": "add", "path": end, "value": one} for one in ("--embedder", "digest")]
    kustomization = {
        "namespace": "facestream",
        "resources": [os.path.relpath(MANIFESTS / "overlays" / "local", folder)],
        "images": [{"name": "facestream", "newName": IMAGE, "newTag": tag}],
        "configMapGenerator": [
            {
                "name": "facestream-settings",
                "behavior": "merge",
                "literals": [f"{name}={value}" for name, value in settings.items()],
            }
        ],
        "replicas": [{"name": name, "count": count} for name, count in replicas.items()],
        "patches": [
            {"target": {"kind": "Deployment|StatefulSet", "labelSelector": workers}, "patch": yaml.safe_dump(digest)}
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")
    return folder


def documented(heading: str) -> list[list[str]]:
    """The blocks of commands below a heading of docs/rollout.md."""
    page = (ROOT / "docs" / "rollout.md").read_text("utf-8")
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert section is not None
    return [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", section[1], re.DOTALL | re.MULTILINE)]


def run(cluster: plane.Cluster, line: str, *, check: bool = True, **instead: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the documents, with some words in place of others."""
    words = shlex.split(line)
    assert words[0] == "kubectl"
    began = time.monotonic()
    for old, new in instead.items():
        assert any(old in word for word in words), f"{old} is not in {line}"
        words = [word.replace(old, new) for word in words]
    ended = cluster.kubectl(*words[1:], check=False, timeout_s=1200)
    print(f"{time.monotonic() - began:5.1f} s, exit code {ended.returncode}: {shlex.join(words)}", flush=True)
    if check:
        assert ended.returncode == 0, ended.stdout
    return ended


@contextmanager
def nodes(cluster: plane.Cluster, folder: Path) -> Iterator[None]:
    folder.mkdir()
    with (folder / "kubelet.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.kubelet", str(cluster.api.port), str(folder), *NODES],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[plane.Cluster]:
    with plane.control_plane(tmp_path / "plane") as running, nodes(running, tmp_path / "nodes"):
        running.api.create(
            "/apis/storage.k8s.io/v1/storageclasses",
            {
                "metadata": {"name": "folders", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                "provisioner": PROVISIONER,
                "volumeBindingMode": "Immediate",
            },
        )
        running.kubectl("config", "set-context", "--current", "--namespace", "facestream")
        wait_until(lambda: len(running.api.list("/api/v1/nodes")) == len(NODES), 120, "the nodes are there")
        yield running


def test_releases_drains_and_scaling_lose_and_double_nothing(cluster: plane.Cluster, tmp_path: Path) -> None:
    api = cluster.api
    with LocalServices(tmp_path / "services") as services:
        changes = {"FACESTREAM_LIVE_STREAM_LENGTH": "1000000"}
        environment = {**services.addresses.environment(), **changes}
        given = {name.removeprefix("FACESTREAM_").lower(): value for name, value in environment.items()}
        settings = Settings(home=tmp_path / "home", partitions=8, replication_factor=1, **given)

        # --- everything, once
        every = overlay(tmp_path / "every", environment, "1", dict.fromkeys(OTHERS, 1))
        run(cluster, f"kubectl apply -k {every}")
        refused(cluster)
        run(cluster, "kubectl rollout status deployment/prepare --timeout 15m")
        for name in [*(one for one in ANSWERING if one != Role.MATCH), *OTHERS]:
            run(cluster, f"kubectl rollout status deployment/{name} --timeout 15m")
        run(cluster, "kubectl rollout status statefulset/match --timeout 15m")
        assert {pod["spec"]["nodeName"] for pod in pods(api)} == set(NODES)

        # --- two workers of each role on the way to an answer; applied again
        two = {str(one): 2 for one in ANSWERING} | dict.fromkeys(OTHERS, 0)
        answering = overlay(tmp_path / "answering", environment, "1", two)
        run(cluster, f"kubectl apply -k {answering}")
        settle_roles(cluster)

        accounts = Reconciliation(settings)
        with Watch(api) as watch, Load(settings, EVENTS_PER_S, "cluster") as load:
            first, rest = documented("A new image")[:2]
            for line in first:
                run(cluster, line)
            assert images(api)["embed"] == {f"{IMAGE}:2"}
            overlay(answering, environment, "2", two)
            for line in rest:
                run(cluster, line, **({"infra/kubernetes/overlays/gke": str(answering)} if "apply" in line else {}))
            settle_roles(cluster)
            assert set().union(*images(api).values()) == {f"{IMAGE}:2"}
            print("at work at least, during a release:", watch.fewest(), flush=True)
            broken_release(cluster, watch)
            drain(cluster, watch)
            scale(cluster)
        report = accounts.settle(list(load.sent), load.users, 600, ask_every_s=1.0)
        accounts.close()
        print(
            f"{len(load.sent)} events, lost {report.lost}, doubled {report.duplicates}, "
            f"gap {gap_s(report.live_at, load.sent):.1f} s",
            flush=True,
        )
        assert (report.lost, report.duplicates) == (0, 0)
        assert len(load.sent) > 100


def settle_roles(cluster: plane.Cluster) -> None:
    for name in ANSWERING:
        kind = "statefulset" if name == Role.MATCH else "deployment"
        run(cluster, f"kubectl rollout status {kind}/{name} --timeout 15m")


def refused(cluster: plane.Cluster) -> None:
    """The namespace takes no pod that is not restricted."""
    body = {"metadata": {"name": "loose"}, "spec": {"containers": [{"name": "one", "image": IMAGE}]}}
    with pytest.raises(requests.HTTPError, match="403"):
        cluster.api.create(f"{NAMESPACE}/pods", body)


def broken_release(cluster: plane.Cluster, watch: Watch) -> None:
    """An image that never gets ready replaces nothing, and is taken back."""
    [change, status, *back] = documented("A new image")[2]
    watch.fewest()
    run(cluster, change, **{":3": f":{BROKEN}"})
    assert run(cluster, status, check=False).returncode != 0
    assert images(cluster.api)["embed"] == {f"{IMAGE}:2", f"{IMAGE}:{BROKEN}"}
    for line in back:
        run(cluster, line)
    assert images(cluster.api)["embed"] == {f"{IMAGE}:2"}
    assert watch.fewest()["embed"] == 2, "both workers stayed"
    # A StatefulSet changes the pod itself, so one of two is away until the release is taken back.
    run(cluster, f"kubectl set image statefulset/match match={IMAGE}:{BROKEN}")
    assert run(cluster, "kubectl rollout status statefulset/match --timeout 30s", check=False).returncode != 0
    run(cluster, "kubectl rollout undo statefulset/match")
    run(cluster, "kubectl rollout status statefulset/match --timeout 15m")
    assert images(cluster.api)["match"] == {f"{IMAGE}:2"}
    assert watch.fewest()["match"] == 1


def drain(cluster: plane.Cluster, watch: Watch) -> None:
    """A node is emptied role by role, and the tables move with their pod."""
    found = {pod["metadata"]["name"]: pod for pod in pods(cluster.api)}
    moved = found["match-0"]
    node = moved["spec"]["nodeName"]
    claims = volumes(cluster.api)
    watch.fewest()
    [lines] = documented("A node to be emptied")
    for line in lines[:-1]:
        run(cluster, line, NODE=node)
    settle_roles(cluster)
    fewest = watch.fewest()
    print(f"at work at least, while {node} was drained:", fewest, flush=True)
    assert min(fewest.values()) >= 1
    after = {pod["metadata"]["name"]: pod for pod in pods(cluster.api)}
    assert {pod["spec"]["nodeName"] for pod in after.values()} <= set(NODES) - {node}
    assert after["match-0"]["metadata"]["uid"] != moved["metadata"]["uid"]
    assert volumes(cluster.api) == claims, "the same volume, on another node"
    run(cluster, lines[-1], NODE=node)


def scale(cluster: plane.Cluster) -> None:
    """More workers and fewer; the volume of a pod that is gone goes too."""
    up, down = documented("More and fewer workers")
    for line in up:
        run(cluster, line)
    settle_roles(cluster)
    assert len(volumes(cluster.api)) == 3
    for line in down:
        run(cluster, line)
    settle_roles(cluster)
    wait_until(lambda: set(volumes(cluster.api)) == {"tables-match-0"}, 300, "the other volumes are removed")


def volumes(api: Api) -> dict[str, str]:
    """The volume of each claim of match."""
    claims = api.list(f"{NAMESPACE}/persistentvolumeclaims")
    return {
        one["metadata"]["name"]: one["spec"].get("volumeName", "")
        for one in claims
        if one["metadata"]["name"].startswith("tables-match-")
    }
