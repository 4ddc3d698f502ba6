"""What each role, each kind of producer, the gateway and the operator need on Kafka, as ACLs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streams.kafka.connection import answer
from streams.kafka.consumer_groups import group_id
from streams.kafka.rights import NotAllowed, is_of_rights
from streams.kafka.security import Security
from streams.kafka.topics import Topic, TopicsError
from streams.matching.changelog import changelog_name
from streams.operations.topic_copy import SIDE
from streams.roles import Role
from streams.settings import Settings
from streams.topology import READS

_TIMEOUT_S = 15.0
_ANY_HOST = "*"
READERS = "facestream-"
"""How the group names begin of those who read outside a consumer group. They join none and commit nothing, but
librdkafka asks for its coordinator all the same, and reading fails where it may not."""


class Account(StrEnum):
    """Who connects to Kafka besides the roles."""

    PRODUCER = "producer"
    CLIENT = "client"
    GATEWAY = "gateway"
    OPERATOR = "operator"


User = Role | Account
"""Whoever connects to Kafka with rights of its own."""
USERS: Sequence[User] = (*Role, *Account)


class Operation(StrEnum):
    """What may be done to a topic or a group; reading, writing and deleting include describing."""

    READ = "READ"
    WRITE = "WRITE"
    CREATE = "CREATE"
    DELETE = "DELETE"
    DESCRIBE = "DESCRIBE"
    DESCRIBE_CONFIGS = "DESCRIBE_CONFIGS"
    ALTER_CONFIGS = "ALTER_CONFIGS"


class Resource(StrEnum):
    """What an ACL is about."""

    TOPIC = "topic"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Acl:
    """An ACL that allows one operation on one resource; ``prefixed``: on all whose names begin with the name."""

    principal: str
    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False

    def binding(self) -> AclBinding:
        """It as the administrative client takes it."""
        return AclBinding(
            ResourceType[self.resource.name],
            self.name,
            ResourcePatternType.PREFIXED if self.prefixed else ResourcePatternType.LITERAL,
            self.principal,
            _ANY_HOST,
            AclOperation[self.operation.name],
            AclPermissionType.ALLOW,
        )


@dataclass(frozen=True, slots=True)
class AccessRights:
    """What a user may do.

    Attributes:
        reads: topics that it reads.
        writes: topics that it writes.
        describes: topics whose partitions and offsets it asks for besides.
        changelog: what it may do to the changelog of the galleries.
        groups: consumer groups that it is a member of.
        watches: consumer groups whose members and offsets it asks for besides.
        manages: whether it creates, configures and deletes topics, commits for all groups, and deletes them.
    """

    reads: frozenset[Topic] = frozenset()
    writes: frozenset[Topic] = frozenset()
    describes: frozenset[Topic] = frozenset()
    changelog: frozenset[Operation] = frozenset()
    groups: frozenset[Role] = frozenset()
    watches: frozenset[Role] = frozenset()
    manages: bool = False


_ALSO_READ: Mapping[Role, Collection[Topic]] = {
    Role.EMBED: (Topic.MODELS,),
    Role.MATCH: (Topic.MODELS,),
    Role.DRIFT: (Topic.DRIFT_REFERENCES, Topic.MODELS),
    Role.RETRAIN: (Topic.CHIPS, Topic.FEEDBACK, Topic.FRAMES, Topic.MODELS, Topic.DRIFT),
    Role.SIGHTINGS: (Topic.EMBEDDINGS, Topic.OPEN_SIGHTINGS, Topic.MODELS),
    Role.HOOKS: (Topic.HOOKS, Topic.HOOK_DELIVERIES),
}
"""What roles read besides the topics of their groups; all read ``resolutions``, which say what of a log is passed."""
_WRITES: Mapping[Role, Collection[Topic]] = {
    Role.EMBED: (Topic.EMBEDDINGS, Topic.CHIPS, Topic.MODELS, Topic.DEAD_LETTERS),
    Role.MATCH: (
        *(Topic.EMBEDDINGS, Topic.PROBES, Topic.SEARCH_PARTS),
        *(Topic.MATCHES, Topic.COMPARISONS, Topic.ENROLMENTS),
        *(Topic.CHIPS, Topic.ERASURES, Topic.DEAD_LETTERS),
    ),
    Role.SINK_REDIS: (Topic.ERASURES, Topic.DEAD_LETTERS),
    Role.SINK_BIGQUERY: (Topic.ERASURES, Topic.DEAD_LETTERS),
    Role.DRIFT: (Topic.DRIFT, Topic.DRIFT_REFERENCES, Topic.ERASURES),
    Role.RETRAIN: (Topic.RUNS, Topic.DEAD_LETTERS),
    Role.SEARCH: (Topic.MATCHES, Topic.ERASURES, Topic.DEAD_LETTERS),
    Role.SIGHTINGS: (Topic.SIGHTINGS, Topic.OPEN_SIGHTINGS, Topic.ERASURES),
    Role.HOOKS: (Topic.HOOKS, Topic.HOOK_DELIVERIES, Topic.ERASURES, Topic.DEAD_LETTERS),
}
_SENT = frozenset({Topic.UPLOADS, Topic.FRAMES})
_SENT_BACK = frozenset(chain.from_iterable(READS.values()))
"""Where dead letters come from, and go when they are sent back."""
_BY_HTTP = frozenset(
    {Topic.ERASURES, Topic.CHIPS, Topic.FEEDBACK, Topic.MODELS, Topic.RESOLUTIONS, Topic.HOOKS, *_SENT}
)


def _of_role(role: Role) -> AccessRights:
    of_table = {Operation.CREATE, Operation.READ, Operation.WRITE} if role is Role.MATCH else ()
    return AccessRights(
        reads=frozenset({*READS[role], *_ALSO_READ.get(role, ()), Topic.RESOLUTIONS}),
        writes=frozenset(_WRITES[role]),
        describes=frozenset(Topic),  # a worker starts only where all topics are partitioned alike
        changelog=frozenset(of_table),
        groups=frozenset({role}),
    )


RIGHTS: Mapping[User, AccessRights] = {
    **{role: _of_role(role) for role in Role},
    Account.PRODUCER: AccessRights(writes=_SENT),
    Account.CLIENT: AccessRights(writes=_SENT, reads=frozenset({Topic.DEAD_LETTERS})),
    Account.GATEWAY: AccessRights(
        reads=_BY_HTTP - _SENT
        | {Topic.KEYS, Topic.MATCHES, Topic.RUNS, Topic.REPLAYS, Topic.DEAD_LETTERS, Topic.HOOK_DELIVERIES},
        writes=_BY_HTTP | _SENT_BACK,
        describes=frozenset(Topic),
        watches=frozenset(Role),
    ),
    Account.OPERATOR: AccessRights(
        reads=frozenset(Topic),
        writes=frozenset(Topic),
        changelog=frozenset({Operation.READ, Operation.WRITE}),
        manages=True,
    ),
}
"""The rights by user. A ``client`` is a producer whose ``ask()`` also hears of events that could not be processed: dead
letters hold the pictures of everybody. An idempotent producer needs no more than writing (since Kafka 2.8)."""
_MANAGING = (Operation.CREATE, Operation.DELETE, Operation.DESCRIBE_CONFIGS, Operation.ALTER_CONFIGS)


def default_principal(user: User) -> str:
    """By which the brokers know a user if nobody says otherwise."""
    return f"User:facestream-{user}"


def acls(user: User, settings: Settings, principal: str | None = None) -> list[Acl]:
    """The ACLs that a user needs, and no others, with topics and groups as they are called on the cluster.

    Args:
        user: whose.
        settings: with the prefix of topics and groups.
        principal: by which the brokers know the user, as in ``User:anna``; None: :func:`default_principal`.
    """
    who = principal or default_principal(user)
    return [Acl(who, *one) for one in _needs(RIGHTS[user], settings)]


def _needs(rights: AccessRights, settings: Settings) -> Iterator[tuple[Resource, str, Operation, bool]]:
    of_topics: dict[str, list[Operation]] = {}
    for topic in Topic:
        used = [
            operation
            for operation, topics in ((Operation.READ, rights.reads), (Operation.WRITE, rights.writes))
            if topic in topics
        ]
        of_topics[topic.named(settings)] = used or [Operation.DESCRIBE] * (topic in rights.describes)
    of_topics[changelog_name(settings)] = [one for one in Operation if one in rights.changelog]
    for name, operations in of_topics.items():
        for operation in (*operations, *(_MANAGING if rights.manages else ())):
            yield Resource.TOPIC, name, operation, False
        if rights.manages:
            # What is given another number of partitions is copied, and copied back.
            for operation in (Operation.READ, Operation.WRITE, *_MANAGING):
                yield Resource.TOPIC, name + SIDE, operation, False
    for role in Role:
        if role in rights.groups:
            yield Resource.GROUP, group_id(role, settings), Operation.READ, False
        elif role in rights.watches:
            yield Resource.GROUP, group_id(role, settings), Operation.DESCRIBE, False
    if rights.reads:
        yield Resource.GROUP, READERS, Operation.DESCRIBE, True
    if rights.manages:
        for operation in (Operation.READ, Operation.DELETE):
            yield Resource.GROUP, f"{settings.topic_prefix}facestream-", operation, True


def create_acls(admin: AdminClient, settings: Settings, wanted: Sequence[Acl]) -> None:
    """Create these ACLs; those that are there already stay. For a user who may alter the cluster.

    Raises:
        NotAllowed: this user may not alter the cluster.
        TopicsError: the brokers refuse, as those do that let everybody do everything.
    """
    for made in admin.create_acls([one.binding() for one in wanted], request_timeout=_TIMEOUT_S).values():
        try:
            answer(made, _TIMEOUT_S)
        except KafkaException as error:
            who = Security.of(settings).who
            if is_of_rights(error.args[0]):
                raise NotAllowed(
                    f"Kafka at {settings.kafka} does not allow {who} to create ACLs: use one who may alter the cluster"
                ) from error
            raise TopicsError(f"Kafka at {settings.kafka} creates no ACLs: {error.args[0].str()}") from error
