"""A Kafka with TLS, users and ACLs: what goes through it, and what is said to those who do not get in."""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from infra import kafka, redis
from infra.certificates import Authority
from infra.kafka_security import BrokerSecurity
from infra.ports import LOOPBACK, free_ports
from infra.supervisor import Supervisor
from schemas.results import Decision, Outcome
from streams.client import Client
from streams.client.errors import DeliveryFailed
from streams.client.producer import Producer
from streams.client.settings import ClientSettings
from streams.kafka import topic_admin
from streams.kafka.connection import admin_client, metadata
from streams.kafka.consumer_groups import OffsetsClient
from streams.kafka.log_reader import read_topic
from streams.kafka.partition_counts import check_copartitioned, partition_counts
from streams.kafka.partitioner import partition_of
from streams.kafka.refusals import KafkaRefused
from streams.kafka.rights import NotAllowed
from streams.kafka.topics import Topic
from streams.operations.access_rights import Account, acls, create_acls
from streams.operations.doctor import cluster as doctor
from streams.operations.doctor.remedies import Remedy
from streams.roles import Role
from streams.settings import Settings, variables
from tests.streams.cli.conftest import environment, run
from tests.streams.operations.doctor.ledger import heals, look
from tests.waiting import wait_until

WAIT_S = 120.0
ROLES = (Role.EMBED, Role.MATCH, Role.SINK_REDIS)
LOGGED = "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info"
"""Has the broker log what it denies."""
PLAIN = {"kafka_ca_file": None, "kafka_username": None, "kafka_password_file": None}


@dataclass(frozen=True)
class SecureKafka:
    """A broker that takes only SASL_SSL, and mutual TLS at ``mutual``, with topics, and a Redis beside it."""

    supervisor: Supervisor
    security: BrokerSecurity
    settings: Settings
    mutual: str
    admin: AdminClient

    def changed(self, **changes: Any) -> Settings:
        return self.settings.model_copy(update=changes)

    def add_user(self, name: str, *, mechanism: str = "SCRAM_SHA_512") -> Mapping[str, Any]:
        """Add a user without any right; return the settings with which to connect as this user."""
        made = ScramCredentialInfo(ScramMechanism[mechanism], 4096)
        change = UserScramCredentialUpsertion(name, made, self.security.password(name).encode())
        self.admin.alter_user_scram_credentials([change])[name].result(WAIT_S)
        wanted = self.security.settings(name) | {"kafka_sasl_mechanism": mechanism.replace("_", "-")}
        # The brokers know of it a moment later.
        return wait_until(lambda: _gets_in(self.changed(**wanted)) and wanted, WAIT_S, f"{name} to be known")


def _gets_in(settings: Settings) -> bool:
    try:
        return bool(metadata(admin_client(settings), settings).brokers)
    except KafkaRefused:
        return False


def of_all_mechanisms(folder: Path) -> Mapping[str, str]:
    """Kafka's settings for more mechanisms than the local broker has by itself."""
    login = "org.apache.kafka.common.security"
    paula = f'user_paula="{BrokerSecurity(folder).password("paula")}"'
    return {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER",
        "listener.name.broker.scram-sha-256.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
        "listener.name.broker.plain.sasl.jaas.config": f"{login}.plain.PlainLoginModule required {paula};",
        "listener.name.broker.oauthbearer.sasl.jaas.config": f"{login}.oauthbearer.OAuthBearerLoginModule required;",
    }


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    folder = tmp_path_factory.mktemp("secure")
    broker, controller, mutual, redis_port = free_ports(4)
    here = f"BROKER://{LOOPBACK}:{broker},MUTUAL://{LOOPBACK}:{mutual}"
    more = {
        "listeners": f"{here},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": here,
        "listener.security.protocol.map": "BROKER:SASL_SSL,CONTROLLER:SSL,MUTUAL:SSL",
        "listener.name.mutual.ssl.client.auth": "required",
    }
    with Supervisor() as supervisor:
        security = BrokerSecurity(folder / "security", {**more, **of_all_mechanisms(folder / "security")})
        address = kafka.start(supervisor, folder / "kafka", broker, controller, print, LOGGED, security=security)
        url = redis.start(supervisor, folder / "redis", redis_port)
        settings = Settings(home=folder, kafka=address, redis_url=url, partitions=2, **security.settings())
        admin = admin_client(settings)
        topic_admin.create(admin, settings)
        yield SecureKafka(supervisor, security, settings, f"{LOOPBACK}:{mutual}", admin)


def refused(settings: Settings) -> str:
    """What is said of a connection that does not come about."""
    with pytest.raises(KafkaRefused) as raised:
        metadata(admin_client(settings), settings, timeout_s=0.5)
    return str(raised.value)


@heals(Remedy.KAFKA_REFUSES)
def test_each_cause_has_a_line_of_its_own(secure: SecureKafka, tmp_path: Path) -> None:
    at = secure.settings.kafka
    (tmp_path / "password").write_text("wrong\n")
    wrong = secure.changed(kafka_password_file=tmp_path / "password")
    line = f"Kafka at {at} does not accept the user admin (SCRAM-SHA-512) with this password"
    assert refused(wrong) == (
        f"{line}: check FACESTREAM_KAFKA_USERNAME, FACESTREAM_KAFKA_PASSWORD_FILE and FACESTREAM_KAFKA_SASL_MECHANISM"
    )
    assert look(doctor.check(wrong))["kafka"].observed == line
    assert refused(secure.changed(kafka_ca_file=None)) == (
        f"no CA that this system trusts has signed the certificate of Kafka at {at}: set FACESTREAM_KAFKA_CA_FILE to "
        "the file of its CA"
    )
    other = Authority(tmp_path / "other").file
    assert refused(secure.changed(kafka_ca_file=other)).startswith(f"no CA in {other} has signed the certificate of")
    elsewhere = at.replace(LOOPBACK, "127.1")  # another spelling of the same address
    assert refused(secure.changed(kafka=elsewhere)) == (
        f"the certificate of Kafka at {elsewhere} is not for 127.1: name the brokers in FACESTREAM_KAFKA as their "
        "certificates do"
    )
    assert refused(secure.changed(kafka_security_protocol="PLAINTEXT", **PLAIN)) == (
        f"Kafka at {at} takes no connections of the kind PLAINTEXT: set FACESTREAM_KAFKA_SECURITY_PROTOCOL to what it "
        "takes: SASL_SSL, SSL or SASL_PLAINTEXT"
    )
    (tmp_path / "password").write_text(secure.security.password("admin"))
    assert look(doctor.check(wrong))["kafka"].observed == f"1 broker answers at {at}"


@heals(Remedy.SEE_TOPICS)
def test_a_missing_acl_is_no_missing_topic(secure: SecureKafka) -> None:
    settings = secure.changed(**secure.add_user("ada"))
    client = admin_client(settings)
    with pytest.raises(NotAllowed) as raised:
        check_copartitioned(partition_counts(client, settings), settings, [Topic.UPLOADS, Topic.FRAMES])
    assert str(raised.value) == (
        f"Kafka at {settings.kafka} does not allow the user ada (SCRAM-SHA-512) to see the topic uploads, frames: "
        "grant it the ACLs of its role"
    )
    with Producer(settings) as producer, pytest.raises(NotAllowed):
        producer.connect()
    found = look(doctor.check(settings))["topics"].observed
    assert found.startswith("the user ada (SCRAM-SHA-512) may not see uploads, frames,")
    rights = [
        AclBinding(
            ResourceType.TOPIC,
            *("*", ResourcePatternType.LITERAL, "User:ada", "*"),
            *(operation, AclPermissionType.ALLOW),
        )
        for operation in (AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
    ]
    for made in secure.admin.create_acls(rights).values():
        made.result(WAIT_S)
    wait_until(lambda: Topic.FRAMES in partition_counts(client, settings), WAIT_S, "the topic to be seen")
    assert look(doctor.check(settings))["topics"].observed.startswith("23 topics with 2 partitions")
    with Producer(settings) as producer, pytest.raises(DeliveryFailed) as failed:
        producer.frame("ada", b"\xff\xd8\xff", camera_id="door").result(WAIT_S)
    assert "Kafka does not allow the user ada (SCRAM-SHA-512) to write to frames: grant it the ACLs of its role" in str(
        failed.value
    )


def test_every_mechanism_gets_in_with_every_client(secure: SecureKafka, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token("dora"))
    certificate, key = secure.security.authority.certificate("mary")
    paula = secure.security.settings("paula")
    ways: Mapping[str, Mapping[str, Any]] = {
        "SCRAM-SHA-256": secure.add_user("sam", mechanism="SCRAM_SHA_256"),
        "PLAIN": {**paula, "kafka_sasl_mechanism": "PLAIN"},
        "OAUTHBEARER": {
            "kafka_sasl_mechanism": "OAUTHBEARER",
            "kafka_token_file": tmp_path / "token",
            **{"kafka_username": None, "kafka_password_file": None},
        },
        "mutual TLS": {
            **PLAIN,
            "kafka": secure.mutual,
            "kafka_security_protocol": "SSL",
            "kafka_ca_file": secure.security.ca_file,
            "kafka_certificate_file": certificate,
            "kafka_key_file": key,
        },
    }
    for way, changes in ways.items():
        settings = secure.changed(**changes)
        assert metadata(admin_client(settings), settings).brokers, way
        with Producer(settings) as producer, pytest.raises(NotAllowed):
            producer.connect()
        with OffsetsClient(settings) as offsets, pytest.raises(Exception, match="GroupAuthorizationFailed"):
            offsets.of("some-group")
    without = ways["mutual TLS"] | {"kafka_certificate_file": None, "kafka_key_file": None}
    assert refused(secure.changed(**without)).startswith(f"Kafka at {secure.mutual} ends the TLS handshake")


def token(user: str) -> str:
    """A token without a signature, such as Kafka takes where nothing else is set."""
    claims = {"sub": user, "iat": time.time(), "exp": time.time() + 3600}
    parts = (json.dumps(one).encode() for one in ({"alg": "none"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


def test_an_event_goes_all_the_way_through_with_a_user_per_role(secure: SecureKafka) -> None:
    administrator = secure.changed(topic_prefix="team-")
    topic_admin.create(secure.admin, administrator)
    users = {
        one: administrator.model_copy(update=dict(secure.add_user(f"facestream-{one}")))
        for one in (*ROLES, Account.PRODUCER)
    }
    created = run(
        ("topics", "acls", "--create", "--json"), environment(**environment_of(administrator)), secure.settings.home
    )
    assert created.code == 0, created.err
    assert {one["principal"] for one in created.json["acls"]} >= {f"User:facestream-{user}" for user in users}
    create_acls(secure.admin, administrator, acls(Role.EMBED, administrator))  # they are there already
    for role in ROLES:
        secure.supervisor.start(
            role,
            [sys.executable, "-m", "streams.cli", "worker", role, "--embedder", "digest"],
            log=secure.settings.home / f"{role}.log",
            env=environment_of(users[role]),
            stage=1,
        )
    picture = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))[1].tobytes()
    with Client(ClientSettings.from_environment(environment_of(users[Account.PRODUCER]))) as client:
        enrolled = client.ask("anna", picture, consent="tests", timeout_s=WAIT_S)
        assert enrolled.outcome is Outcome.ENROLLED
        match = client.ask("anna", picture, camera_id="door", timeout_s=WAIT_S)
        assert [face.decision for face in match.faces] == [Decision.MATCH]
    # The producer's client listens for dead letters, which it may not read, and the answers come all the same.
    assert denied(secure.settings.home, ROLES) == []
    for log in (*secure.settings.home.glob("*.log"), secure.settings.home / "kafka" / "kafka.log"):
        for user in ("admin", *(f"facestream-{one}" for one in users)):
            assert secure.security.password(user) not in log.read_text("utf-8"), log

    assert next(read_topic(users[Role.SINK_REDIS], Topic.MATCHES, [partition_of("anna", 2)])).key == b"anna"
    for one, topic in ((Role.EMBED, Topic.MATCHES), (Account.PRODUCER, Topic.UPLOADS)):
        with pytest.raises(NotAllowed, match=rf"the user facestream-{one} .* to read team-{topic}: grant it the ACLs"):
            list(read_topic(users[one], topic))
    with pytest.raises(NotAllowed, match=r"does not allow the user facestream-embed .* to create ACLs"):
        create_acls(admin_client(users[Role.EMBED]), users[Role.EMBED], acls(Role.EMBED, administrator))


def environment_of(settings: Settings) -> dict[str, str]:
    return variables(settings.model_dump(mode="json", exclude_unset=True))


def denied(folder: Path, roles: Sequence[Role]) -> list[str]:
    """What the broker has denied to the users of these roles."""
    log = (folder / "kafka" / "kafka.log").read_text("utf-8")
    found = re.findall(r"Principal = User:(\S+) is Denied operation = (\S+) .* on resource = (\S+) ", log)
    assert found, "what is denied to others is found"
    return [" ".join(one) for one in found if one[0] in {f"facestream-{role}" for role in roles}]
