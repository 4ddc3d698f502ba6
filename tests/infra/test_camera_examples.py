"""The compose file and the manifest for cameras name only what is there."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

from streams.cameras.config import read_cameras
from streams.settings import Settings
from tests.command_lines import parse

ROOT = Path(__file__).parents[2]


def settings(environment: dict[str, Any]) -> Settings:
    given = {
        key.removeprefix("FACESTREAM_").lower(): value
        for key, value in environment.items()
        if key.startswith("FACESTREAM_")
    }
    assert set(given) <= set(Settings.model_fields)
    return Settings(**given)


def test_compose() -> None:
    more = yaml.safe_load((ROOT / "docker-compose.cameras.yml").read_text("utf-8"))
    base = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    camera = more["services"]["camera"]
    assert parse(camera["command"]) == "facestream camera"
    assert (
        camera["build"]["args"]["EXTRA"]
        in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    )
    as_others = base["services"]["match"]
    same = ("init", "read_only", "tmpfs", "cap_drop", "security_opt", "depends_on", "stop_grace_period", "restart")
    assert {key: camera[key] for key in same} == {key: as_others[key] for key in same}
    environment = camera["environment"]
    assert environment.items() <= as_others["environment"].items()
    mounts = dict(volume.removesuffix(":ro").rsplit(":", 1)[::-1] for volume in camera["volumes"])
    assert mounts[camera["command"][-1]] == "./cameras.toml"
    assert mounts["/var/lib/facestream"] in more["volumes"]
    assert as_others["healthcheck"]["test"] == camera["healthcheck"]["test"]


def test_kubernetes(tmp_path: Path) -> None:
    objects = list(yaml.safe_load_all((ROOT / "infra/kubernetes/camera.yaml").read_text("utf-8")))
    listing, secret, workload, service = objects
    file = tmp_path / "cameras.toml"
    file.write_text(listing["data"][file.name])
    [camera] = read_cameras(file, secret["stringData"])
    assert secret["stringData"]["YARD_PASSWORD"] in camera.source.get_secret_value()
    pod = workload["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert parse(container["args"]) == "facestream camera"
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert container["args"][-1] == f"{mounts['cameras']}/{file.name}"
    shared = yaml.safe_load((ROOT / "infra/kubernetes/settings.yaml").read_text("utf-8"))
    now = settings(shared["data"] | {one["name"]: one["value"] for one in container["env"]})
    assert str(now.home) == mounts["numbers"]
    assert now.health_port == container["ports"][0]["containerPort"]
    assert {one["configMapRef"]["name"] for one in container["envFrom"] if "configMapRef" in one} == {
        shared["metadata"]["name"]
    }
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > now.watchdog_s, "its own watchdog comes first"
    assert workload["spec"]["selector"]["matchLabels"] == workload["spec"]["template"]["metadata"]["labels"]
    assert service["metadata"]["name"] == workload["spec"]["serviceName"]
