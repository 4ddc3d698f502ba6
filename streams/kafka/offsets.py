"""Where the logs of partitions begin and end now, asked of the brokers by an admin client."""

from __future__ import annotations

import tenacity
from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.kafka.connection import KafkaUnavailable, not_yet

_REQUEST_TIMEOUT_S = 15.0


def first_offsets(admin: AdminClient, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
    """The offset of the first message that is still there, by topic and number.

    Raises:
        KafkaUnavailable: a partition has no leader.
    """
    return _offsets(admin, partitions, OffsetSpec.earliest())


def next_offsets(admin: AdminClient, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
    """The offset behind all that may be read, by topic and number: what lies behind a transaction that a producer has
    not ended counts as not there yet.

    Raises:
        KafkaUnavailable: a partition has no leader.
    """
    return _offsets(admin, partitions, OffsetSpec.latest())


def appended_offsets(admin: AdminClient, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
    """The offset that the next message will get, by topic and number; see :func:`next_offsets`.

    Raises:
        KafkaUnavailable: a partition has no leader.
    """
    return _offsets(admin, partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)


def _offsets(
    admin: AdminClient,
    partitions: list[TopicPartition],
    at: OffsetSpec,
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
) -> dict[tuple[str, int], int]:
    if not partitions:
        return {}
    request = tenacity.Retrying(
        retry=tenacity.retry_if_exception(not_yet),
        stop=tenacity.stop_after_delay(_REQUEST_TIMEOUT_S),
        wait=tenacity.wait_fixed(0.1),
        reraise=True,
    )
    try:
        return request(_request_offsets, admin, partitions, at, isolation)
    except (KafkaException, TimeoutError) as error:
        why = error.args[0].str() if isinstance(error, KafkaException) else "no answer in time"
        raise KafkaUnavailable(f"the topics' offsets cannot be read: {why}") from error


def _request_offsets(
    admin: AdminClient, partitions: list[TopicPartition], at: OffsetSpec, isolation: IsolationLevel
) -> dict[tuple[str, int], int]:
    futures = admin.list_offsets(
        dict.fromkeys(partitions, at), request_timeout=_REQUEST_TIMEOUT_S, isolation_level=isolation
    )
    return {(tp.topic, tp.partition): future.result(_REQUEST_TIMEOUT_S).offset for tp, future in futures.items()}
