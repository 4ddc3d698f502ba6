"""The compose file for cameras names only what is there; test_kubernetes.py reads the manifest."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

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
