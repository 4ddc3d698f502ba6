"""The Kubernetes manifests name only what is there: commands, roles, settings, ports, files and volumes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.training.cluster import JOB
from streams.roles import Role
from streams.settings import Settings
from tests.command_lines import parse

FOLDER = Path(__file__).parents[2] / "infra" / "kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
OBJECTS: list[dict[str, Any]] = [
    found for name in KUSTOMIZATION["resources"] for found in yaml.safe_load_all((FOLDER / name).read_text("utf-8"))
]
WORKLOADS = [one for one in OBJECTS if one["kind"] in ("Deployment", "StatefulSet")]
WORKERS = [one for one in WORKLOADS if one["metadata"]["name"] != "gateway"]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in OBJECTS if one["kind"] == kind]


def settings() -> Settings:
    [config] = of_kind("ConfigMap")
    given = {name.removeprefix("FACESTREAM_").lower(): value for name, value in config["data"].items()}
    assert set(given) <= set(Settings.model_fields)
    return Settings(**given)


def test_every_file_is_applied_or_says_that_it_is_not() -> None:
    others = {path.name for path in FOLDER.glob("*.yaml")} - {*KUSTOMIZATION["resources"], "kustomization.yaml"}
    assert all("kubectl apply -f infra/kubernetes/" + name in (FOLDER / name).read_text("utf-8") for name in others)


def test_kustomize_finds_each_object_once() -> None:
    """Kustomize refuses the whole folder when a file or an object appears twice in it."""
    ids = Counter((one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in OBJECTS)
    assert max(Counter(KUSTOMIZATION["resources"]).values()) == 1
    assert [one for one, times in ids.items() if times > 1] == []


def test_one_workload_a_role() -> None:
    assert {one["metadata"]["name"] for one in WORKERS} == set(Role)


@pytest.mark.parametrize("worker", WORKERS, ids=lambda one: one["metadata"]["name"])
def test_a_worker_is_started_watched_and_stopped_as_it_needs(worker: dict[str, Any]) -> None:
    now, pod = settings(), worker["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert parse(container["args"]) == "facestream worker"
    assert container["args"][1] == worker["metadata"]["name"]
    assert worker["spec"]["selector"]["matchLabels"] == worker["spec"]["template"]["metadata"]["labels"]
    assert (now.health_host, now.health_port) == ("0.0.0.0", container["ports"][0]["containerPort"])
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= now.watchdog_s, "its own watchdog comes first"
    assert pod["terminationGracePeriodSeconds"] >= 20
    known = {one["name"] for one in pod["volumes"]}
    known |= {one["metadata"]["name"] for one in worker["spec"].get("volumeClaimTemplates", [])}
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    assert set(mounts.values()) == known
    if worker["metadata"]["name"] in (Role.EMBED, Role.MATCH):
        assert str(now.data_dir) in mounts
    if worker["metadata"]["name"] == Role.EMBED:
        assert str(now.models_dir) in mounts


def test_the_gateway_is_watched_and_reached_at_its_port() -> None:
    [workload] = [one for one in WORKLOADS if one not in WORKERS]
    pod = workload["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert parse(container["args"]) == "facestream gateway"
    assert container["ports"][0]["containerPort"] == settings().gateway_port
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    [service] = [one for one in of_kind("Service") if one["metadata"]["name"] == "gateway"]
    assert service["spec"]["selector"] == workload["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]


def test_volumes_that_are_claimed_are_there() -> None:
    claims = {one["metadata"]["name"] for one in of_kind("PersistentVolumeClaim")}
    pods = [one["spec"]["template"]["spec"] for one in WORKLOADS]
    claimed = [volume.get("persistentVolumeClaim") for pod in pods for volume in pod["volumes"]]
    assert {one["claimName"] for one in claimed if one} == claims


def test_a_training_has_as_many_pods_as_addresses_and_each_knows_its_own() -> None:
    service, job = yaml.safe_load_all((FOLDER / "train.yaml").read_text("utf-8"))
    spec = job["spec"]
    [container] = spec["template"]["spec"]["containers"]
    assert parse(container["args"]) == "facestream retrain"
    env = {one["name"]: one for one in container["env"]}
    said = json.loads(env["TF_CONFIG"]["value"].replace("$(INDEX)", "1"))
    pods = [f"{job['metadata']['name']}-{n}.{service['metadata']['name']}" for n in range(spec["completions"])]
    port = container["ports"][0]["containerPort"]
    assert said == {"cluster": {"worker": [f"{pod}:{port}" for pod in pods]}, "task": {"type": "worker", "index": 1}}
    assert (spec["completionMode"], spec["parallelism"]) == ("Indexed", spec["completions"])
    assert spec["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert list(env).index("INDEX") < list(env).index("TF_CONFIG"), "what is named later is not filled in"
    assert JOB in env


def test_what_prepares_creates_topics_and_tables() -> None:
    [job] = of_kind("Job")
    [container] = job["spec"]["template"]["spec"]["containers"]
    commands = [line.split() for line in container["command"][-1].split("&&")]
    assert [parse(command[1:]) for command in commands] == ["facestream topics create", "facestream bigquery apply"]
