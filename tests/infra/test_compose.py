"""docker-compose.yml and the Dockerfile name only what is there: commands, roles, settings, ports, files, options.

No Docker is needed; where its client has compose, that reads the file too.
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import yaml
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

import infra.bigquery
import infra.cache
import infra.kafka
import infra.redis
from infra.services import LocalServices
from models.embedder.assets import RESNET
from streams.embedding.payload.objects import EXTRAS
from streams.observability.health_server import HealthServer, MonitoredWorker
from streams.observability.heartbeat import ConsumerStatus, WorkerHeartbeat
from streams.roles import Role
from streams.settings import Settings
from tests.command_lines import parse
from tests.infra.dockerfile import Stage, stages

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
STAGES = stages(ROOT / "infra" / "docker" / "Dockerfile")
FACESTREAM, BIGQUERY = STAGES["facestream"], STAGES["bigquery"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "facestream"]
WORKERS = [name for name in OURS if SERVICES[name].get("command", [""])[0] == "worker"]


def plain(value: object) -> str:
    """A value as compose gives it where no variable is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


def settings_of(name: str) -> Settings:
    given = FACESTREAM.env | {key: plain(value) for key, value in SERVICES[name]["environment"].items()}
    ours = {
        key.removeprefix("FACESTREAM_").lower(): value for key, value in given.items() if key.startswith("FACESTREAM_")
    }
    cache_folder = ours.pop("cache")
    assert '"FACESTREAM_CACHE"' in Path(infra.cache.__file__).read_text("utf-8") and cache_folder
    assert set(ours) <= set(Settings.model_fields)
    return Settings(**ours)


def volumes(name: str) -> dict[str, str]:
    """The folders of a service that are kept, by the name of the volume."""
    return dict(volume.split(":") for volume in SERVICES[name].get("volumes", []))


def test_docker_compose_reads_it() -> None:
    try:
        ended = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no Docker client")
    if ended.returncode:
        pytest.skip("Docker's client has no compose")
    read = subprocess.run(["docker", "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True)
    assert read.returncode == 0, read.stderr


def test_one_service_a_role() -> None:
    assert {SERVICES[name]["command"][1] for name in WORKERS} == set(Role)
    for name in WORKERS:
        assert parse(SERVICES[name]["command"]) == "facestream worker"
        assert SERVICES[name]["command"][1] == name


def test_the_gateway_answers_other_containers_and_this_machine() -> None:
    assert parse(SERVICES["gateway"]["command"]) == "facestream gateway"
    now = settings_of("gateway")
    assert now.gateway_host == "0.0.0.0" and set(volumes("gateway")) == {"secrets"}
    assert f'"http://127.0.0.1:{now.gateway_port}/readyz"' in SERVICES["gateway"]["healthcheck"]["test"][-1]


def test_what_prepares_creates_topics_and_tables() -> None:
    (script,) = SERVICES["prepare"]["command"]
    lines = [line.split() for line in script.split("&&")]
    assert [parse(line[1:]) for line in lines if line[0] == "facestream"] == [
        "facestream topics create",
        "facestream bigquery apply",
    ]
    assert len(lines) == 2


@pytest.mark.parametrize("name", OURS)
def test_settings_reach_what_is_there(name: str) -> None:
    now = settings_of(name)
    assert SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].startswith(f"INSIDE://{now.kafka},")
    assert urlsplit(now.redis_url)[1] == "redis:6379"
    assert now.bigquery_rest == f"http://bigquery:{BIGQUERY.env['BIGQUERY_PORT']}"
    assert now.bigquery_grpc == f"bigquery:{BIGQUERY.env['GRPC_PORT']}"
    assert now.bigquery_project == BIGQUERY.env["DEFAULT_PROJECT_ID"] == infra.bigquery.PROJECT
    # Without these a replica would not find the port free, or no other container could ask it.
    if name in WORKERS:
        assert (now.health_host, now.health_port) == ("0.0.0.0", 9100)
        assert volumes(name)["tables"] == str(now.home)


def test_ports_are_open_to_this_machine_only() -> None:
    published = {}
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            host, outside, inside = port.split(":")
            assert host == "127.0.0.1"
            published[int(outside)] = (name, int(inside))
    # The settings' defaults find Kafka and Redis; the README tells how BigQuery is found.
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert published[int(defaults["kafka"].split(":")[1])] == ("kafka", 9092)
    assert published[urlsplit(defaults["redis_url"]).port or 0] == ("redis", 6379)
    assert published[9050] == ("bigquery", int(BIGQUERY.env["BIGQUERY_PORT"]))
    assert published[9060] == ("bigquery", int(BIGQUERY.env["GRPC_PORT"]))
    assert published[int(defaults["gateway_port"])] == ("gateway", settings_of("gateway").gateway_port)
    assert len(published) == 5


def test_every_wait_can_end() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], name
            else:
                assert how["condition"] == "service_completed_successfully"
                assert SERVICES[other]["restart"] == "no", "one that is started again never completes"
    assert set(SERVICES["prepare"]["depends_on"]) == {"kafka", "redis", "bigquery"}
    assert all("prepare" in SERVICES[name]["depends_on"] for name in OURS if name != "prepare")


def test_what_runs_for_long_is_limited_and_comes_back() -> None:
    for name, service in SERVICES.items():
        if name == "cli":
            continue
        assert service["deploy"]["resources"]["limits"]["memory"]
        if name != "prepare":
            assert service["restart"] == "unless-stopped"
            # `facestream up` gives a worker, and Kafka, 20 s to end.
            assert int(service["stop_grace_period"].removesuffix("s")) >= 20
            assert "healthcheck" in service


def test_what_is_kept_is_on_volumes() -> None:
    assert volumes("kafka")["kafka"] == SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]
    assert volumes("redis") == {"redis": "/data"}
    assert Path(BIGQUERY.env["DATA_DIR"]).is_relative_to(volumes("bigquery")["bigquery"])
    named = {volume for name in SERVICES for volume in volumes(name)}
    assert named == set(COMPOSE["volumes"])
    # A named volume takes the owner of the image's folder.
    for stage, folder in (
        (FACESTREAM, volumes("match")["tables"]),
        (FACESTREAM, volumes("hooks")["secrets"]),
        (BIGQUERY, volumes("bigquery")["bigquery"]),
    ):
        assert any(f"--owner={stage.user} {folder}" in command for command in stage.runs)


def test_commands_see_the_folders_of_the_workers() -> None:
    """The root is read-only: without them `doctor` finds no folder that can be written to, nor the workers' own."""
    assert SERVICES["cli"]["read_only"]
    for name in WORKERS:
        assert volumes(name).items() <= volumes("cli").items()
        assert {"tables", "models"} <= volumes(name).keys()


def test_one_service_builds_each_image() -> None:
    built = [(service["image"], service["build"]) for service in SERVICES.values() if "build" in service]
    assert sorted(image for image, _ in built) == ["facestream", "facestream-bigquery"]
    for _, build in built:
        assert (ROOT / build["context"] / build["dockerfile"]).is_file()
        assert build["target"] in STAGES
    assert all(SERVICES[name]["pull_policy"] == "never" for name in OURS)


def test_kafka_is_the_version_that_the_tests_run_against() -> None:
    from infra.jars import VERSION

    assert SERVICES["kafka"]["image"] == f"apache/kafka:{VERSION}"


def test_kafka_knows_every_setting(services: LocalServices) -> None:
    given = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): plain(value)
        for name, value in SERVICES["kafka"]["environment"].items()
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
    }
    resource = ConfigResource(ResourceType.BROKER, "1")
    admin = AdminClient({"bootstrap.servers": services.addresses.kafka})
    (future,) = admin.describe_configs([resource]).values()
    known = future.result(30)
    assert set(given) <= set(known)
    # As the local one, where it is not about names of listeners.
    local = {name: str(value) for name, value in infra.kafka.SETTINGS.items() if "listener" not in name}
    same = set(local) & set(given)
    assert {name: given[name] for name in same} == {name: local[name] for name in same}
    assert {"message.max.bytes", "auto.create.topics.enable", "offsets.topic.replication.factor"} <= same


def test_redis_takes_every_option(tmp_path: Path) -> None:
    program, *options = SERVICES["redis"]["command"]
    assert program == "valkey-server"
    socket = tmp_path / "redis.sock"
    where = ["--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)]
    server = subprocess.Popen([infra.redis.server(), *options, *where], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if "ready to accept connections" in line.lower():
                break
        with redis.Redis(unix_socket_path=str(socket)) as client:
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert client.config_get("save") == {"save": ""}
    finally:
        server.terminate()
        server.wait(20)


def check(test: list[str], *replace: str) -> int:
    """Run the Python code of a healthcheck here, at other addresses; return its exit code."""
    assert test[0] == "CMD" and test[1].endswith("python") and test[2] == "-c"
    code = test[3]
    for here, there in zip(replace[::2], replace[1::2], strict=True):
        assert here in code
        code = code.replace(here, there)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=False).returncode


def test_healthcheck_of_bigquery(services: LocalServices) -> None:
    test = SERVICES["bigquery"]["healthcheck"]["test"]
    here = f"http://127.0.0.1:{BIGQUERY.env['BIGQUERY_PORT']}"
    assert check(test, here, services.addresses.bigquery_rest) == 0
    assert check(test, here, "http://127.0.0.1:1") != 0


@pytest.mark.parametrize("name", WORKERS)
def test_healthcheck_of_workers(name: str) -> None:
    test, role = SERVICES[name]["healthcheck"]["test"], Role(name)
    with HealthServer(role, f"{name}-{uuid.uuid4().hex}", Settings(kafka="127.0.0.1:1")) as health:
        where = (f"http://127.0.0.1:{settings_of(name).health_port}", "http://{}:{}".format(*health.address))
        assert check(test, *where) != 0
        health.follow(MonitoredWorker(WorkerHeartbeat(role), lambda: ConsumerStatus(True, frozenset())))
        assert check(test, *where) == 0


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_what_is_copied_is_there_and_sent_to_docker(stage: Stage) -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_through = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    for source in stage.copied:
        assert (ROOT / source).exists()
        assert any(fnmatch.fnmatch(Path(source).parts[0], pattern) for pattern in let_through)
    for other, path in stage.copied_from:
        assert other in STAGES
        assert Path(STAGES[other].env["VIRTUAL_ENV"]).is_relative_to(path)


def test_the_whole_project_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    rooms = {pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert rooms | {"pyproject.toml", project["project"]["readme"]} <= set(STAGES["packages"].copied)


def test_the_images_run_what_the_project_has() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert FACESTREAM.entrypoint[0] in project["project"]["scripts"]
    assert parse(["worker", *FACESTREAM.command]) == "facestream worker"  # CMD is --help
    python, flag, script = BIGQUERY.entrypoint
    assert (flag, Path(script).name) == ("-P", "bigquery_server.py")
    assert "infra/bigquery_server.py" in STAGES["bigquery-packages"].copied
    handed_over = Path(infra.bigquery.__file__).read_text("utf-8")
    for name in set(BIGQUERY.env) - {"PYTHONUNBUFFERED"}:
        assert f'"{name}"' in handed_over, f"infra.bigquery does not know {name}"
    assert python.startswith(STAGES["bigquery-packages"].env["VIRTUAL_ENV"])
    assert FACESTREAM.env["PATH"].startswith(f"{STAGES['packages'].env['VIRTUAL_ENV']}/bin:")


def test_an_image_has_what_its_extra_brings() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = STAGES["packages"].arguments["EXTRA"].split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    assert set(extras) == {"worker", *(extra for _, extra in EXTRAS.values())}, "embed cannot read every address"
    (installs,) = (command for command in STAGES["packages"].runs if "uv pip sync" in command)
    for requirements in ("runtime", "camera", "cloud"):
        assert f"requirements/{requirements}.txt" in STAGES["packages"].copied
        assert f" requirements/{requirements}.txt " in installs
    assert {role.value for role in Role} <= set(project["optional-dependencies"])
    (removes,) = (command for command in STAGES["packages"].runs if "-m infra.extras $EXTRA" in command)
    # A failure in an argument of a command does not fail the command; one in an assignment does.
    assert re.match(r'beside="\$\([^()]*\)" && uv pip uninstall [^&]*\$beside ', removes)


def test_the_weights_stay() -> None:
    (removes,) = (command for command in STAGES["packages"].runs if "-delete" in command)
    assert f"! -name '{Path(RESNET.path).name}'" in removes


def test_nobody_is_root() -> None:
    for stage in (FACESTREAM, BIGQUERY):
        assert any(re.search(rf"useradd .*--uid 10001 .* {stage.user}\b", command) for command in stage.runs)
    for name in OURS:
        assert "user" not in SERVICES[name]
        assert SERVICES[name]["read_only"] and SERVICES[name]["cap_drop"] == ["ALL"]


def test_only_those_who_make_hooks_or_post_see_their_key() -> None:
    assert {name for name in SERVICES if "secrets" in volumes(name)} == {"hooks", "gateway", "cli"}
