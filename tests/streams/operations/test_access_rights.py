from __future__ import annotations

import pytest

from streams.kafka.consumer_groups import group_id
from streams.kafka.topics import Topic
from streams.matching.changelog import changelog_name
from streams.operations.access_rights import RIGHTS, USERS, Account, Operation, Resource, acls
from streams.roles import Role
from streams.settings import Settings
from streams.topology import READS

SETTINGS = Settings(topic_prefix="team.")


def allowed(user: Role | Account, operation: Operation, resource: Resource = Resource.TOPIC) -> set[str]:
    return {one.name for one in acls(user, SETTINGS) if one.operation is operation and one.resource is resource}


def test_every_user_has_rights() -> None:
    assert list(RIGHTS) == list(USERS)


@pytest.mark.parametrize("role", Role)
def test_a_role_reads_its_topics_in_its_group_and_sees_all(role: Role) -> None:
    reads, writes = allowed(role, Operation.READ), allowed(role, Operation.WRITE)
    assert reads >= {topic.named(SETTINGS) for topic in READS[role]}
    assert reads | writes | allowed(role, Operation.DESCRIBE) >= {topic.named(SETTINGS) for topic in Topic}
    assert allowed(role, Operation.READ, Resource.GROUP) == {group_id(role, SETTINGS)}
    table = {changelog_name(SETTINGS)} if role is Role.MATCH else set()
    assert allowed(role, Operation.CREATE) == table
    assert not allowed(role, Operation.DELETE) | allowed(role, Operation.ALTER_CONFIGS)


def test_a_producer_writes_two_topics_and_nothing_else() -> None:
    assert {(one.operation, one.name) for one in acls(Account.PRODUCER, SETTINGS)} == {
        (Operation.WRITE, "team.uploads"),
        (Operation.WRITE, "team.frames"),
    }


def test_only_the_operator_and_who_decides_about_faces_read_pictures() -> None:
    assert [user for user in USERS if "team.uploads" in allowed(user, Operation.READ)] == [Role.EMBED, Account.OPERATOR]
    assert [user for user in USERS if "team.frames" in allowed(user, Operation.READ)] == [
        Role.EMBED,
        Role.RETRAIN,
        Account.OPERATOR,
    ]


def test_the_principal_can_be_another() -> None:
    assert {one.principal for one in acls(Role.EMBED, SETTINGS)} == {"User:facestream-embed"}
    assert {one.principal for one in acls(Role.EMBED, SETTINGS, "User:CN=anna")} == {"User:CN=anna"}
