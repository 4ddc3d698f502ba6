"""`facestream doctor` finds what is wrong with real services and workers, and says how to mend it."""

from __future__ import annotations

import time
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from infra.services import LocalServices
from schemas.codec import encode
from streams.dead_letters import store
from streams.dead_letters.records import dead_letter
from streams.kafka.consumer_groups import GroupMember, group_id
from streams.kafka.messages import Message
from streams.kafka.messages import TopicPartition as Source
from streams.operations.doctor import dead_letters, machine
from streams.operations.doctor.clock import clock
from streams.operations.doctor.finding import Check, Finding, Status, ok
from streams.operations.doctor.remedies import Remedy
from streams.operations.doctor.run import run as run_checks
from streams.operations.doctor.workers import _well
from streams.roles import ANSWERING, Role
from tests.streams.operations.doctor.clusters import Cluster, until


@pytest.fixture
def cluster(services: LocalServices, tmp_path: Path) -> Cluster:
    return Cluster(services, tmp_path)


def test_services_that_are_away_are_said_in_seconds(cluster: Cluster) -> None:
    nowhere = "127.0.0.1:1"
    ended = cluster.run(
        "doctor",
        "--no-model",
        "--json",
        FACESTREAM_KAFKA=nowhere,
        FACESTREAM_REDIS_URL=f"redis://:secret@{nowhere}/0",
        FACESTREAM_BIGQUERY_REST=f"http://{nowhere}",
        FACESTREAM_BIGQUERY_GRPC=nowhere,
    )
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert "secret" not in ended.out + ended.err
    said = ended.json
    assert len(said["checks"]) == said["ok"] + said["warn"] + said["fail"]
    found = {one["name"]: one for one in said["checks"]}
    for name in ("kafka", "redis", "bigquery", "bigquery storage write"):
        assert found[name]["status"] == "fail", name
        assert nowhere in found[name]["seen"]
        assert "facestream up" in found[name]["mend"]
    assert found["python"]["status"] == "ok"


def test_redis_alone_is_away(cluster: Cluster) -> None:
    found = cluster.doctor(redis_url="redis://127.0.0.1:1/0")
    assert found["redis"].status is Status.FAIL
    assert found["kafka"].status is found["bigquery"].status is Status.OK
    assert found["bigquery storage write"].status is Status.OK


def test_topics_and_tables_that_are_missing(cluster: Cluster) -> None:
    found = cluster.doctor()
    assert found["topics"].status is Status.FAIL
    assert found["topics"].remedy == "facestream topics create"
    assert cluster.name("uploads") in found["topics"].observed
    assert found["bigquery tables"].status is Status.FAIL
    assert found["bigquery tables"].remedy == "facestream bigquery apply"
    assert cluster.run("topics", "create").code == 0
    assert cluster.run("bigquery", "apply").code == 0
    found = cluster.doctor()
    assert found["topics"].status is found["bigquery tables"].status is Status.OK
    assert found["clock of Redis"].status is Status.OK
    for role in set(Role) - set(ANSWERING):
        assert found[f"{role} workers"].status is Status.OK
    for role in ANSWERING:
        assert found[f"{role} workers"].status is Status.FAIL
        assert found[f"{role} workers"].remedy == f"facestream worker {role}"
    cluster.admin.delete_topics([cluster.name("matches")])[cluster.name("matches")].result(20)
    found = until(cluster, lambda found: found["topics"].status is Status.FAIL)
    assert found["topics"].observed == f"missing: {cluster.name('matches')}"


def test_topics_that_differ(cluster: Cluster) -> None:
    assert cluster.run("topics", "create").code == 0
    frames = cluster.name("frames")
    cluster.admin.create_partitions([NewPartitions(frames, 3)])[frames].result(20)
    change = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    by_producer = ConfigResource(ResourceType.TOPIC, cluster.name("uploads"), incremental_configs=[change])
    cluster.admin.incremental_alter_configs([by_producer])[by_producer].result(20)
    found = until(cluster, lambda found: "partitions" in found)
    assert found["partitions"].status is Status.FAIL
    assert f"{frames}: 3" in found["partitions"].observed
    assert found[f"topic {cluster.name('uploads')}"].status is Status.FAIL
    assert "message.timestamp.type is CreateTime" in found[f"topic {cluster.name('uploads')}"].observed


def test_another_number_of_partitions_than_the_settings_say(cluster: Cluster) -> None:
    assert cluster.run("topics", "create").code == 0
    found = cluster.doctor(partitions=8)
    assert found["partitions"].status is Status.WARN
    assert found["partitions"].remedy == "set FACESTREAM_PARTITIONS=2"


def test_a_changelog_with_other_partitions(cluster: Cluster) -> None:
    assert cluster.run("topics", "create").code == 0
    name = f"{group_id(Role.MATCH, cluster.settings)}-gallery-changelog"
    cluster.admin.create_topics([NewTopic(name, 5, 1)])[name].result(20)
    found = until(cluster, lambda found: "changelog" in found)
    assert found["changelog"].status is Status.FAIL
    assert "5 partitions" in found["changelog"].observed


def test_workers_that_are_well_and_then_dead(cluster: Cluster) -> None:
    assert cluster.run("topics", "create").code == 0
    roles = (Role.MATCH, Role.SINK_REDIS)
    with cluster.workers(*roles) as running:
        found = until(cluster, lambda found: all(found[f"{role} workers"].status is Status.OK for role in roles))
        assert "nothing waits" in found["match workers"].observed
        assert found["health of match-0"].status is Status.OK
        assert found[f"health of sink-redis-{running[Role.SINK_REDIS].pid}"].status is Status.OK
        assert found["changelog"].status is Status.OK

        running[Role.MATCH].kill()
        found = until(cluster, lambda found: found["match workers"].status is Status.FAIL)
        assert found["match workers"].remedy == "facestream worker match"


def test_a_warm_copy_is_up_to_date_or_said_to_be_behind(cluster: Cluster) -> None:
    assert cluster.run("topics", "create").code == 0
    with cluster.workers(Role.MATCH), cluster.workers(Role.MATCH):
        said = until(
            cluster,
            lambda found: any("standby partition up to date" in one.observed for one in found.values()),
        )
        assert not [name for name in said if name.startswith("standby of")]
    member = GroupMember("m", "match-0@127.0.0.1:1", "h", frozenset())
    report = {
        "ahead_s": 0.0,
        "problem": None,
        "uncertain_s": 0.0,
        "standbys": [{"topic": "t", "partition": 3, "lag": 1001}],
    }
    behind, alive = _well(member, report, cluster.settings)
    assert (behind.status, behind.name) == (Status.WARN, f"standby of {member.name}")
    assert "partition 3: 1001 records" in behind.observed
    assert "restart" in behind.remedy
    assert "up to date" not in alive.observed


def test_dead_letters_that_are_open(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster.run("topics", "create").code == 0
    assert cluster.doctor()["dead letters"] == Finding(Status.OK, "dead letters", "none is open")
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.settings.kafka})
    for offset in range(3):
        message = Message(Source("frames", 0), offset, 0, b"anna", b"rubbish", ())
        letter = dead_letter(message, "embed", ValueError("no"))
        producer.produce(cluster.name("dead-letters"), encode(letter), partition=0)
    assert producer.flush(20) == 0
    found = cluster.doctor()["dead letters"]
    assert (found.status, found.observed) == (Status.WARN, "3 messages could not be processed and are open")
    assert "facestream dead-letters list" in (found.remedy or "")
    monkeypatch.setattr(dead_letters, "_ENOUGH", 1)
    monkeypatch.setattr(store, "_STEP", 2)
    assert cluster.doctor()["dead letters"].observed.startswith("at least 2 messages"), "the newest"


def test_the_model_embeds(cluster: Cluster) -> None:
    ended = cluster.run("doctor", "--json")
    found = {one["name"]: one for one in ended.json["checks"]}
    assert found["model"]["status"] in ("ok", "warn")
    assert "one chip embedded in" in found["model"]["seen"]
    assert found["litert"]["status"] == found["model card"]["status"] == "ok"


def test_clocks() -> None:
    assert clock("Redis", 0.4).status is Status.OK
    assert clock("Redis", -3.0).observed == "3.0 s behind this machine"
    assert clock("Redis", 3.0).status is Status.WARN
    assert clock("Redis", 3.0, uncertain_s=2.5).status is Status.OK


def test_packages_are_compared_with_the_pins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cluster: Cluster) -> None:
    pins = tmp_path / "runtime.txt"
    monkeypatch.setattr(machine, "PINS", pins)

    def packages() -> Finding:
        return next(one for one in machine.check(cluster.settings) if one.name == "packages")

    hashed = " \\\n    --hash=sha256:00\n"
    pins.write_text(f"pytest=={pytest.__version__}{hashed}never-there==1 ; sys_platform == 'none'{hashed}")
    assert packages().status is Status.OK
    pins.write_text(f"pytest==0.1{hashed}")
    assert packages().status is Status.WARN
    assert f"pytest {pytest.__version__} (==0.1)" in packages().observed
    pins.write_text(f"never-there==1{hashed}")
    assert packages() == Finding(Status.FAIL, "packages", "not installed: never-there", Remedy.SET_UP())


def test_a_check_that_is_stuck_or_breaks_does_not_stop_the_others() -> None:
    def stuck() -> list[Finding]:
        time.sleep(60)
        return []

    def broken() -> list[Finding]:
        raise RuntimeError("two\nlines")

    checks: dict[str, Check] = {"stuck": stuck, "broken": broken, "well": lambda: [ok("well", "yes")]}
    found = list(run_checks(checks, 0.2))
    assert [(one.name, one.status) for one in found] == [
        ("stuck", Status.FAIL),
        ("broken", Status.FAIL),
        ("well", Status.OK),
    ]
    assert "RuntimeError: two lines" in found[1].observed
