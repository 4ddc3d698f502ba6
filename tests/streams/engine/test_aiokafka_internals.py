"""The private names of aiokafka that facestream uses; an upgrade that moves one fails here by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from unittest.mock import Mock

import aiokafka
import pytest
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import RecordTooLargeError

from streams.engine import aiokafka_internals
from streams.engine.aiokafka_internals import fetch_promptly, guard, partition_states
from tests.streams.engine.private_names import is_there, used_by

ROOT = Path(__file__).parents[3]
TP = aiokafka.TopicPartition("frames", 3)
NAMES = [
    (aiokafka.AIOKafkaConsumer, "_isolation_level"),
    (aiokafka.AIOKafkaConsumer, "_fetcher"),
    (aiokafka.AIOKafkaConsumer, "_subscription"),
    (aiokafka.AIOKafkaConsumer, "_coordinator"),
    (GroupCoordinator, "fetch_committed_offsets"),
    (Fetcher, "_records"),
    (Fetcher, "_fetch_max_wait_ms"),
    (Fetcher, "_get_actions_per_node"),
    (FetchResult, "_partition_records"),
    (FetchError, "_error"),
    (PartitionRecords, "_records_iterator"),
    (aiokafka.AIOKafkaProducer, "_partition"),
]


@pytest.mark.parametrize(("owner", "name"), NAMES)
def test_a_name_is_there(owner: type, name: str) -> None:
    assert is_there(owner, name), (
        f"aiokafka {version('aiokafka')} has no {owner.__qualname__}.{name} any more, which "
        "streams/engine/aiokafka_internals.py uses: find what replaces it there, or keep the pin"
    )


def test_no_name_is_left_out_here() -> None:
    own = {"_state", "_readable"}
    assert used_by(aiokafka_internals) <= {name for _, name in NAMES} | own


@pytest.mark.parametrize("library", ["aiokafka", "faust-streaming"])
def test_a_library_whose_private_names_are_used_is_pinned_exactly(library: str) -> None:
    for path in ("pyproject.toml", "requirements/core.in", "requirements/runtime.txt"):
        assert f"{library}=={version(library)}" in (ROOT / path).read_text("utf-8"), f"{path} does not pin {library}"


def test_a_consumer_hands_its_isolation_level_to_its_fetcher_when_it_starts() -> None:
    assert "_isolation_level" in aiokafka.AIOKafkaConsumer.start.__code__.co_names, "aiokafka hands it over elsewhere"


@pytest.mark.parametrize("name", ["_proc_fetch_request", "_set_error", "fetched_records"])
def test_the_fetcher_works_on_the_records_that_are_guarded(name: str) -> None:
    assert "_records" in getattr(Fetcher, name).__code__.co_names, f"Fetcher.{name} keeps what it fetched elsewhere"


def test_the_fetcher_asks_how_long_to_wait_at_each_fetch() -> None:
    assert "_fetch_max_wait_ms" in Fetcher._get_actions_per_node.__code__.co_names
    assert "_get_actions_per_node" in Fetcher._fetch_requests_routine.__code__.co_names


@pytest.mark.parametrize(("left_out", "taken", "wait_ms"), [(False, True, 500), (True, True, 20), (True, False, 500)])
def test_a_fetch_is_short_only_while_it_leaves_out_what_is_going_to_be_taken(
    left_out: bool, taken: bool, wait_ms: int
) -> None:
    consumer = Mock()
    consumer._fetcher = fetcher = Mock()
    fetcher._records = {TP: "fetched"} if left_out else {}
    fetch_promptly(consumer, lambda tp: taken)
    assignment = Mock(tps={TP})
    assignment.state_value.return_value = Mock(has_valid_position=True, paused=False)
    fetcher._get_actions_per_node(assignment)
    assert fetcher._fetch_max_wait_ms == wait_ms


def test_what_a_guarded_consumer_cannot_decode_pauses_its_partition_behind_what_it_can() -> None:
    def records() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("rubbish")

    consumer, fetched = Mock(), PartitionRecords(TP, Mock(), [], 0, None, None, True, 1)
    fetched._records_iterator = records()
    guard(consumer)
    consumer._fetcher._records[TP] = FetchResult(TP, assignment=Mock(), partition_records=fetched, backoff=0)
    assert list(fetched) == [1, 2]
    consumer.pause.assert_called_once_with(TP)


def test_what_is_cut_off_is_no_error_and_nothing_is_left_out() -> None:
    async def run() -> tuple[bool, int]:
        subscription = SubscriptionState()
        subscription.assign_from_user([TP])
        state = subscription.subscription.assignment.state_value(TP)
        state.seek(17)
        consumer = Mock(_subscription=subscription)
        guard(consumer)
        consumer._fetcher._records[TP] = FetchError(error=RecordTooLargeError(), backoff=0)
        state.consumed_to(18)  # as aiokafka does next
        await asyncio.sleep(0)
        assert TP not in consumer._fetcher._records
        return consumer.pause.called, state.position

    assert asyncio.run(run()) == (True, 17)


def test_only_partitions_with_a_position_have_a_state() -> None:
    async def run() -> dict[aiokafka.TopicPartition, int]:
        subscription = SubscriptionState()
        assert partition_states(Mock(_subscription=subscription)) == {}
        subscription.assign_from_user([TP, aiokafka.TopicPartition("frames", 1)])
        subscription.subscription.assignment.state_value(TP).seek(17)
        return {tp: state.position for tp, state in partition_states(Mock(_subscription=subscription)).items()}

    assert asyncio.run(run()) == {TP: 17}
