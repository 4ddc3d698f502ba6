"""The images are what they say, and docker-compose.yml loses and doubles nothing: ``make test-containers``.

pytest does not collect this file unless it is named. It needs minutes, an engine, and the ports of docker-compose.yml.
"""

from __future__ import annotations

import itertools
import json
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, Self

import pytest
from packaging.utils import canonicalize_name

from infra.photos import sample_photos
from streams.client.producer import Producer
from streams.devtools.reconciliation import Reconciliation
from streams.devtools.synthetic_frames import Scene
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import describe_group, group_id
from streams.roles import Role
from streams.settings import Settings
from tests.containers.engine import Engine, running_engine
from tests.containers.stack import READY_S, ComposeStack, built
from tests.integration.clients import Clients, named
from tests.waiting import wait_until

FULL, SLIM, BIGQUERY = IMAGES = ("facestream", "facestream-slim", "facestream-bigquery")
FRAMES_PER_S = 2.0
GATEWAY = "http://127.0.0.1:8085"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with running_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def images(engine: Engine) -> Iterator[ComposeStack]:
    """The stack, built; nothing runs."""
    with built(engine, print) as stack:
        yield stack


@pytest.fixture(scope="session")
def stack(images: ComposeStack) -> ComposeStack:
    images.up()
    return images


def python(engine: Engine, image: str, code: str) -> str:
    """What code prints in a container that can write nothing and reach nothing."""
    limits = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"]
    program = "/opt/bigquery/venv/bin/python" if image == BIGQUERY else "python"
    return engine.docker("run", "--rm", *limits, "--tmpfs", "/tmp", "--entrypoint", program, image, "-c", code)


def test_the_sizes_of_the_images(images: ComposeStack) -> None:
    sizes = {name: images.engine.inspect(name)["Size"] for name in IMAGES}
    for name, size in sizes.items():
        print(f"{name}: {size / 1e9:.2f} GB")
    assert sizes[SLIM] < sizes[FULL] / 2


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_says_what_it_is_and_runs_as_nobody(name: str, images: ComposeStack) -> None:
    config = images.engine.inspect(name)["Config"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Labels"]["org.opencontainers.image.title"]
    assert python(images.engine, name, "import os; print(os.getuid())").strip() == "10001"


@pytest.mark.parametrize("name", [FULL, SLIM])
def test_an_image_lists_the_packages_that_are_in_it(name: str, images: ComposeStack) -> None:
    code = """
import json
from importlib.metadata import distributions
print(json.dumps([
    [[one.name, one.version] for one in distributions()],
    [[one["name"], one["version"]] for one in json.load(open("/opt/facestream/sbom.cdx.json"))["components"]],
]))
"""
    here, listed = (
        {(canonicalize_name(name), version) for name, version in found}
        for found in json.loads(python(images.engine, name, code))
    )
    assert {package for package in here if package[0] != "facestream"} == listed and len(listed) > 40


def test_only_one_image_has_tensorflow_and_the_clients_of_object_stores(images: ComposeStack) -> None:
    code = """
from importlib.util import find_spec
print(*(name for name in ("tensorflow", "openvino", "gcsfs", "s3fs", "rocksdict") if find_spec(name)))
"""
    assert python(images.engine, FULL, f"import gcsfs, s3fs\n{code}").split() == [
        "tensorflow",
        "openvino",
        "gcsfs",
        "s3fs",
        "rocksdict",
    ]
    assert python(images.engine, SLIM, code).split() == ["rocksdict"]


def ask(path: str, key: str | None = None) -> bytes:
    request = urllib.request.Request(GATEWAY + path, headers={"Authorization": f"Bearer {key}"} if key else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        body: bytes = answer.read()
    return body


def test_somebody_is_enrolled_seen_and_shown(stack: ComposeStack) -> None:
    stack.cli("enrol", "--user", "anna", "--subject", "obama", "/opt/facestream/photos/obama.jpg")
    stack.cli("play", "--user", "anna", "--camera", "front-door", "/opt/facestream/photos")
    made = json.loads(stack.cli("keys", "create", "--scopes", "read", "--user", "anna", "--json").splitlines()[-1])

    def seen() -> Any:
        return json.loads(ask("/api/v1/users/anna/matches?subject_id=obama&camera_id=front-door", made["key"]))[
            "matches"
        ]

    assert wait_until(seen, 300, "the gateway shows who was seen")
    assert b"<html" in ask("/")
    rows = json.loads(stack.cli("bigquery", "query", "sightings_by_day", "--json").splitlines()[-1])
    assert rows


class Frames:
    """Sends frames of users in turn from a thread of its own, and waits for Kafka as long as a restart may take."""

    def __init__(self, settings: Settings, users: Sequence[str], pictures: Sequence[bytes]) -> None:
        self.sent: list[str] = []
        self._cameras = zip(itertools.cycle(users), itertools.cycle(pictures), strict=False)
        self._producer = Producer(settings, delivery_timeout_s=READY_S, block_s=READY_S, check_format=False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frames")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.close(READY_S)

    def _run(self) -> None:
        for user, jpeg in self._cameras:
            self.sent.append(self._producer.frame(user, jpeg, camera_id="live").event_id)
            if self._stop.wait(1 / FRAMES_PER_S):
                return


def members(stack: ComposeStack, role: Role) -> int:
    """The workers of a role that have partitions, if all of them have some and nothing moves; else 0."""
    group = describe_group(admin_client(stack.settings), group_id(role, stack.settings))
    return len(group.members) if group.settled and all(member.partitions for member in group.members) else 0


def test_nothing_is_lost_or_doubled_by_scaling_kills_and_restarts(stack: ComposeStack) -> None:
    photos = sample_photos()
    pictures = list(itertools.islice(Scene(photos / "obama2.jpg"), 40))
    users = [f"scaled-{number}" for number in range(16)]
    clients = Clients(stack.settings)
    enrolled = [
        clients.producer.enrol(user, (photos / "obama.jpg").read_bytes(), consent="tests", subject_id="obama")
        for user in users
    ]
    outcomes = clients.answers([sent.event_id for sent in enrolled], timeout_s=600)
    assert {answer["outcome"] for answer in outcomes.values()} == {"enrolled"}

    with Frames(stack.settings, users, pictures) as frames:
        stack.up("--no-recreate", "--scale", "embed=2", "--scale", "match=2")
        for role in (Role.EMBED, Role.MATCH):
            wait_until(lambda role=role: members(stack, role) == 2, 600, f"two workers of {role} have partitions")
        for service in ("embed", "match", "sink-redis", "sink-bigquery"):
            stack.kill(service)
        for service in ("kafka", "redis", "bigquery"):
            stack.kill_and_start(service)
        stack.restart("embed", "match", "sink-redis", "sink-bigquery")
    # Everything goes and comes back: what Kafka, Redis and BigQuery have is in volumes.
    stack.compose("down", "--timeout", "60")
    stack.up()

    events = [*(sent.event_id for sent in enrolled), *frames.sent]
    accounts = Reconciliation(stack.settings)
    account = accounts.settle(events, users, timeout_s=900)
    accounts.close()
    clients.close()
    print(f"{len(events)} events, {account.lost} lost, {account.duplicates} twice")
    assert (account.lost, account.duplicates) == (0, 0)
    answers = [account.answers[event_id] for event_id in frames.sent]
    assert not [answer for answer in answers if set(named(answer)) - {"obama", None}]
    assert len(answers) > 100
