"""A Kafka whose users have the rights of ``facestream topics acls``, and no others."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from infra import kafka, redis
from infra.kafka_security import BrokerSecurity
from infra.ports import free_ports
from infra.supervisor import Supervisor
from schemas.results import Decision, Outcome
from streams.client import Client
from streams.client.settings import ClientSettings
from streams.kafka import topic_admin
from streams.kafka.connection import admin_client
from streams.kafka.log_reader import read_topic
from streams.kafka.rights import NotAllowed
from streams.kafka.topics import Topic
from streams.kafka.unreadable import LogUnreadable
from streams.operations.access_rights import Account, User, acls, create_acls
from streams.roles import Role
from streams.settings import Settings, variables
from tests.streams.cli.conftest import environment, run

WAIT_S = 120.0
ROLES = (Role.EMBED, Role.MATCH, Role.SINK_REDIS)
LOGGED = "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info"


def connected(admin: AdminClient, security: BrokerSecurity, administrator: Settings, user: User) -> Settings:
    """Make a user; return the settings with which it connects."""
    name = f"facestream-{user}"
    made = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    change = UserScramCredentialUpsertion(name, made, security.password(name).encode())
    admin.alter_user_scram_credentials([change])[name].result(WAIT_S)
    return administrator.model_copy(update=security.settings(name))


def environment_of(settings: Settings) -> dict[str, str]:
    return variables(settings.model_dump(mode="json", exclude_unset=True))


def test_the_pipeline_runs_with_a_user_per_role(tmp_path: Path) -> None:
    broker, controller, redis_port = free_ports(3)
    with Supervisor() as supervisor:
        security = BrokerSecurity(tmp_path / "security")
        address = kafka.start(supervisor, tmp_path / "kafka", broker, controller, print, LOGGED, security=security)
        url = redis.start(supervisor, tmp_path / "redis", redis_port)
        safe = security.settings()
        administrator = Settings(
            home=tmp_path, kafka=address, redis_url=url, partitions=1, topic_prefix="team-", **safe
        )
        admin = admin_client(administrator)
        topic_admin.create(admin, administrator)
        users = {one: connected(admin, security, administrator, one) for one in (*ROLES, Account.PRODUCER)}
        created = run(("topics", "acls", "--create", "--json"), environment(**environment_of(administrator)), tmp_path)
        assert created.code == 0, created.err
        assert {one["principal"] for one in created.json["acls"]} >= {f"User:facestream-{user}" for user in users}
        create_acls(admin, administrator, acls(Role.EMBED, administrator))  # they are there already
        for role in ROLES:
            supervisor.start(
                role,
                [sys.executable, "-m", "streams.cli", "worker", role, "--embedder", "digest"],
                log=tmp_path / f"{role}.log",
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
        assert denied(tmp_path, but=Account.PRODUCER) == []

        assert next(read_topic(users[Role.SINK_REDIS], Topic.MATCHES)).key == b"anna"
        for user, topic in ((Role.EMBED, Topic.MATCHES), (Account.PRODUCER, Topic.UPLOADS)):
            with pytest.raises(LogUnreadable, match="TopicAuthorizationFailed"):
                next(read_topic(users[user], topic))
        with pytest.raises(NotAllowed, match=r"does not allow the user facestream-embed .* to create ACLs"):
            create_acls(admin_client(users[Role.EMBED]), users[Role.EMBED], acls(Role.EMBED, administrator))


def denied(folder: Path, *, but: User) -> list[str]:
    """What the broker has denied to users, ``but`` this one."""
    log = (folder / "kafka" / "kafka.log").read_text("utf-8")
    assert "is Denied" in log, "the authorizer's log is read"
    found = re.findall(r"Principal = (\S+) is Denied operation = (\S+) .* on resource = (\S+) ", log)
    return [" ".join(one) for one in found if one[0] != f"User:facestream-{but}"]
