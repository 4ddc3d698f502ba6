"""The Kubernetes manifests: kustomize builds them, schemas have every field, and they name only what is there."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from google.auth.identity_pool import Credentials
from kubernetes_validate import utils as schemas

from models.training.cluster import JOB
from streams.cameras.config import read_cameras
from streams.kafka.consumer_groups import group_id
from streams.roles import Role
from streams.settings import Settings
from streams.topology import READS
from tests.command_lines import parse
from tests.kubectl import MANIFESTS, build

Object = dict[str, Any]
VERSION = "1.34"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (MANIFESTS / "components").iterdir())
BUILDS = [*OVERLAYS, "all components"]
"""The overlays, and that of Google with every component but the one for other clouds."""
OF_OPERATORS = {"ScaledObject", "PodMonitor"}
"""Kinds that are not Kubernetes' own."""
NO_WORKERS = {"gateway", "prepare"}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Object]]:
    """The objects of a build."""

    @cache
    def of(name: str) -> list[Object]:
        if name in OVERLAYS:
            return build(MANIFESTS / "overlays" / name)
        gke, folder = MANIFESTS / "overlays" / "gke", tmp_path_factory.mktemp("all") / "overlay"
        shutil.copytree(gke, folder)
        file = folder / "kustomization.yaml"
        text = yaml.safe_load(file.read_text("utf-8"))
        there = {Path(one).name for one in text["components"]} | {"google-federation"}
        text["components"] += [f"../../components/{one}" for one in COMPONENTS if one not in there]
        text["images"] += [
            {"name": f"facestream-{one}", "newName": f"registry.example/{one}"} for one in ("gpu", "camera")
        ]
        for key in ("resources", "components"):
            text[key] = [os.path.relpath(gke / one, folder) if one.startswith("..") else one for one in text[key]]
        file.write_text(yaml.safe_dump(text), "utf-8")
        return build(folder)

    return of


def of_kind(objects: list[Object], *kinds: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] in kinds}


def workloads(objects: list[Object]) -> dict[str, Object]:
    return of_kind(objects, "Deployment", "StatefulSet")


def pods(objects: list[Object]) -> dict[str, Object]:
    """The templates of all pods, by the name of what makes them."""
    made = {name: one["spec"]["template"] for name, one in workloads(objects).items()}
    crons = of_kind(objects, "CronJob")
    return made | {name: one["spec"]["jobTemplate"]["spec"]["template"] for name, one in crons.items()}


def configuration(objects: list[Object]) -> tuple[str, Object]:
    """The name and the settings of the ConfigMap that all share."""
    [(name, config)] = [
        one for one in of_kind(objects, "ConfigMap").items() if one[0].startswith("facestream-settings-")
    ]
    return name, config["data"]


def settings(objects: list[Object], **more: str) -> Settings:
    _, data = configuration(objects)
    given = {name.removeprefix("FACESTREAM_").lower(): value for name, value in (data | more).items()}
    assert set(given) <= set(Settings.model_fields)
    return Settings(**given)


@pytest.fixture(scope="module", autouse=True)
def _schemas_read_once() -> Iterator[None]:
    """The library reads megabytes of definitions for each object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schemas, "schema_contents", cache(schemas.schema_contents))
        yield


@pytest.mark.parametrize("name", BUILDS)
def test_kubernetes_has_every_field(objects: Callable[[str], list[Object]], name: str) -> None:
    for one in objects(name):
        if one["kind"] not in OF_OPERATORS:
            kubernetes_validate.validate(one, VERSION, strict=True)


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "one"}, "spec": {"replica": 1}},
            VERSION,
            strict=True,
        )


@pytest.mark.parametrize("name", BUILDS)
def test_what_is_named_is_there(objects: Callable[[str], list[Object]], name: str) -> None:
    there = objects(name)
    accounts, priorities = of_kind(there, "ServiceAccount"), of_kind(there, "PriorityClass")
    claims, maps = of_kind(there, "PersistentVolumeClaim"), of_kind(there, "ConfigMap")
    claimed = set()
    for template in pods(there).values():
        pod = template["spec"]
        [container] = pod["containers"]
        assert pod["serviceAccountName"] in accounts
        assert pod["priorityClassName"] in priorities
        claimed |= {
            one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if "persistentVolumeClaim" in one
        }
        named = [one["configMapRef"]["name"] for one in container["envFrom"] if "configMapRef" in one]
        for volume in pod["volumes"]:
            sources = [volume, *volume.get("projected", {}).get("sources", [])]
            named += [one["configMap"]["name"] for one in sources if "configMap" in one]
        assert set(named) <= set(maps)
        assert configuration(there)[0] in named
    assert claimed == set(claims)
    for ingress in of_kind(there, "Ingress").values():
        [rule] = ingress["spec"]["rules"]
        [path] = rule["http"]["paths"]
        backend = path["backend"]["service"]
        service = of_kind(there, "Service")[backend["name"]]
        assert backend["port"]["name"] in {one["name"] for one in service["spec"]["ports"]}


@pytest.mark.parametrize("name", BUILDS)
def test_pods_keep_to_the_restricted_standard(objects: Callable[[str], list[Object]], name: str) -> None:
    [namespace] = of_kind(objects(name), "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    allowed = {"emptyDir", "configMap", "secret", "persistentVolumeClaim", "projected"}
    for template in pods(objects(name)).values():
        pod = template["spec"]
        assert pod["securityContext"].items() >= {"runAsNonRoot": True, "runAsUser": 10001}.items()
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])


@pytest.mark.parametrize("name", BUILDS)
def test_it_can_be_applied_again_with_another_image(objects: Callable[[str], list[Object]], name: str) -> None:
    """The template of a Job cannot be changed, and neither can selectors, so no version may be in them."""
    assert not of_kind(objects(name), "Job", "Pod")
    for role, workload in workloads(objects(name)).items():
        labels = {"app.kubernetes.io/name": "facestream", "app.kubernetes.io/component": role}
        assert workload["spec"]["selector"]["matchLabels"] == labels
        assert workload["spec"]["template"]["metadata"]["labels"].items() >= labels.items()


@pytest.mark.parametrize("name", BUILDS)
def test_images_come_from_where_the_overlay_says(objects: Callable[[str], list[Object]], name: str) -> None:
    images = {one["spec"]["containers"][0]["image"] for one in pods(objects(name)).values()}
    if name == "local":
        assert images == {"facestream:local"}
    else:
        assert all("/" in one for one in images)


@pytest.mark.parametrize("name", BUILDS)
def test_a_drain_takes_one_pod_of_a_role_at_a_time(objects: Callable[[str], list[Object]], name: str) -> None:
    budgets = of_kind(objects(name), "PodDisruptionBudget")
    live = set(workloads(objects(name))) - {"prepare", "retrain", "camera"}
    assert set(budgets) == live
    for role, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["selector"] == workloads(objects(name))[role]["spec"]["selector"]


@pytest.mark.parametrize("name", BUILDS)
def test_settings_hold_no_password(objects: Callable[[str], list[Object]], name: str) -> None:
    _, data = configuration(objects(name))
    assert not of_kind(objects(name), "Secret")
    assert [
        key for key, value in data.items() if urlsplit(value).password or "PASSWORD" in key or "SECRET" in key
    ] == []
    for template in pods(objects(name)).values():
        [container] = template["spec"]["containers"]
        sources = [one.get("secretRef") for one in container["envFrom"]]
        assert {"name": "facestream-secrets", "optional": True} in sources[1:], "what is named later wins"


@pytest.mark.parametrize("name", OVERLAYS)
def test_one_workload_a_role(objects: Callable[[str], list[Object]], name: str) -> None:
    assert set(workloads(objects(name))) - NO_WORKERS == set(Role)


@pytest.mark.parametrize("role", [str(role) for role in Role])
def test_a_worker_is_started_watched_and_stopped_as_it_needs(objects: Callable[[str], list[Object]], role: str) -> None:
    worker = workloads(objects("gke"))[role]
    now, pod = settings(objects("gke")), worker["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert parse(container["args"]) == "facestream worker"
    assert container["args"][1] == role
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
    if role in (Role.EMBED, Role.MATCH):
        assert str(now.data_dir) in mounts
    if role == Role.EMBED:
        assert str(now.models_dir) in mounts
    if role == Role.HOOKS:
        assert str(now.hook_key_path.parent) in mounts
    [threads] = [one for one in container["env"] if one["name"] == "FACESTREAM_CPU_THREADS"]
    assert threads["valueFrom"] == {"resourceFieldRef": {"resource": "requests.cpu"}}
    assert "cpu" in container["resources"]["requests"]


def test_the_gateway_is_watched_and_reached_at_its_port(objects: Callable[[str], list[Object]]) -> None:
    workload = workloads(objects("gke"))["gateway"]
    pod = workload["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert parse(container["args"]) == "facestream gateway"
    assert container["ports"][0]["containerPort"] == settings(objects("gke")).gateway_port
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert str(settings(objects("gke")).hook_key_path.parent) in {one["mountPath"] for one in container["volumeMounts"]}
    service = of_kind(objects("gke"), "Service")["gateway"]
    assert service["spec"]["selector"] == workload["spec"]["selector"]["matchLabels"]
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]


def test_what_prepares_creates_topics_and_tables(objects: Callable[[str], list[Object]]) -> None:
    [container] = workloads(objects("gke"))["prepare"]["spec"]["template"]["spec"]["containers"]
    *commands, mark, wait = [line.split() for line in container["command"][-1].split("&&")]
    assert [parse(command[1:]) for command in commands] == ["facestream topics create", "facestream bigquery apply"]
    assert container["startupProbe"]["exec"]["command"][-1] == mark[-1]
    assert wait == ["exec", "sleep", "infinity"]


def test_network_policies_name_pods_and_ports_that_there_are(objects: Callable[[str], list[Object]]) -> None:
    templates = pods(objects("all components")).values()
    policies = of_kind(objects("all components"), "NetworkPolicy")
    assert policies
    for policy in policies.values():
        selector = policy["spec"]["podSelector"]
        wanted = dict(selector["matchLabels"])
        chosen = [one for one in templates if wanted.items() <= one["metadata"]["labels"].items()]
        for expression in selector.get("matchExpressions", []):
            assert set(expression["values"]) <= {one["metadata"]["labels"][expression["key"]] for one in chosen}
        ports = {port["name"] for one in chosen for port in one["spec"]["containers"][0].get("ports", [])}
        named = [port["port"] for rule in policy["spec"].get("ingress", []) for port in rule["ports"]]
        assert chosen
        assert set(named) <= ports


def test_keda_counts_what_embed_reads(objects: Callable[[str], list[Object]]) -> None:
    there = objects("all components")
    now = settings(there)
    [scaled] = of_kind(there, "ScaledObject").values()
    embed = workloads(there)[scaled["spec"]["scaleTargetRef"]["name"]]
    assert "replicas" not in embed["spec"], "to apply the overlay again would undo what KEDA did"
    assert scaled["spec"]["maxReplicaCount"] == now.partitions
    triggers = [one["metadata"] for one in scaled["spec"]["triggers"]]
    assert Counter(one["topic"] for one in triggers) == Counter(READS[Role.EMBED])
    assert {one["consumerGroup"] for one in triggers} == {group_id(Role.EMBED, now)}
    assert {one["bootstrapServersFromEnv"] for one in triggers} <= set(configuration(there)[1])


def test_prometheus_scrapes_ports_that_there_are(objects: Callable[[str], list[Object]]) -> None:
    [monitor] = of_kind(objects("all components"), "PodMonitor").values()
    ports = [
        port["name"]
        for one in workloads(objects("all components")).values()
        for port in one["spec"]["template"]["spec"]["containers"][0].get("ports", [])
    ]
    assert {one["port"] for one in monitor["spec"]["podMetricsEndpoints"]} == set(ports)


@pytest.mark.parametrize("name", ["aks", "eks"])
def test_googles_library_takes_the_credentials(objects: Callable[[str], list[Object]], name: str) -> None:
    [config] = [one for key, one in of_kind(objects(name), "ConfigMap").items() if key.startswith("facestream-google-")]
    [(file, text)] = config["data"].items()
    credentials = Credentials.from_info(json.loads(text))  # type: ignore[no-untyped-call]
    for role in ("prepare", "sink-bigquery"):
        [container] = workloads(objects(name))[role]["spec"]["template"]["spec"]["containers"]
        [mount] = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "google"]
        env = {one["name"]: one.get("value") for one in container["env"]}
        assert env["GOOGLE_APPLICATION_CREDENTIALS"] == f"{mount}/{file}"
        assert json.loads(text)["credential_source"]["file"] == f"{mount}/token"
    assert "facestream@" in credentials.service_account_email


def test_a_training_has_as_many_pods_as_addresses_and_each_knows_its_own(
    objects: Callable[[str], list[Object]],
) -> None:
    [cron] = of_kind(objects("all components"), "CronJob").values()
    service = of_kind(objects("all components"), "Service")["facestream-train"]
    spec = cron["spec"]["jobTemplate"]["spec"]
    [container] = spec["template"]["spec"]["containers"]
    assert cron["spec"]["suspend"] is True
    assert parse(container["args"]) == "facestream retrain"
    env = {one["name"]: one for one in container["env"]}
    said = json.loads(env["TF_CONFIG"]["value"].replace("$(INDEX)", "1"))
    # The Job has the name of what it is made from.
    made = [f"{cron['metadata']['name']}-{n}.{service['metadata']['name']}" for n in range(spec["completions"])]
    port = container["ports"][0]["containerPort"]
    assert said == {"cluster": {"worker": [f"{pod}:{port}" for pod in made]}, "task": {"type": "worker", "index": 1}}
    assert (spec["completionMode"], spec["parallelism"]) == ("Indexed", spec["completions"])
    assert spec["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert list(env).index("INDEX") < list(env).index("TF_CONFIG"), "what is named later is not filled in"
    assert JOB in env


def test_cameras_are_read_from_the_list(objects: Callable[[str], list[Object]], tmp_path: Path) -> None:
    there = objects("all components")
    [config] = [one for key, one in of_kind(there, "ConfigMap").items() if key.startswith("facestream-cameras-")]
    workload = workloads(there)["camera"]
    [container] = workload["spec"]["template"]["spec"]["containers"]
    assert parse(container["args"]) == "facestream camera"
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    file = Path(container["args"][-1])
    assert str(file.parent) == mounts["cameras"]
    (tmp_path / file.name).write_text(config["data"][file.name], "utf-8")
    [camera] = read_cameras(tmp_path / file.name, {"YARD_PASSWORD": "hush"})
    assert "hush" in camera.source.get_secret_value()
    [home] = [one["value"] for one in container["env"] if one["name"] == "FACESTREAM_HOME"]
    now = settings(there, FACESTREAM_HOME=home)
    assert str(now.home) == mounts["numbers"]
    assert now.health_port == container["ports"][0]["containerPort"]
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > now.watchdog_s, "its own watchdog comes first"
    assert workload["spec"]["serviceName"] in of_kind(there, "Service")
