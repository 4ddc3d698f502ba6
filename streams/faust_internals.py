"""What facestream changes and looks at inside Faust and aiokafka, for which neither has a setting or a question.

``tests/streams/test_faust_internals.py`` holds every name that is touched here: it says which one an upgrade has moved.
"""

from __future__ import annotations

from typing import Any, cast

import aiokafka
import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

from streams.kafka import ISOLATION
from streams.order import TopicPartition


class CommittedConsumer(Consumer):
    """Faust's consumer, which reads what is committed only; Faust itself does so in ``exactly_once`` alone."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Thread(AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Before it starts, when it tells its fetcher.
        consumer._isolation_level = ISOLATION
        return consumer


def positions(app: faust.App) -> dict[TopicPartition, int]:
    """The offset from which each assigned partition is read on, without a question to the consumer's thread.

    It lies behind marks of transactions and what was taken back, which are never given, and also behind what was
    fetched and is on its way to an agent.
    """
    subscription = cast(Consumer, app.consumer)._thread._ensure_consumer()._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    if assignment is None:
        return {}
    states: dict[TopicPartition, Any] = {TopicPartition(*tp): assignment.state_value(tp) for tp in assignment.tps}
    return {
        source: state.position for source, state in states.items() if state is not None and state.has_valid_position
    }
