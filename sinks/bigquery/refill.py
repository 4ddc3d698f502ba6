"""Queries for refilling a table: which rows it has already, and which rows came twice during the refill.

A refill writes the messages below an offset of each partition, so rows are told apart by their offsets in Kafka.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from google.cloud import bigquery
from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

from schemas.partition import TopicPartition
from sinks.bigquery.query import run_query
from sinks.bigquery.tables import Table

_TIMEOUT_S = 120.0
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one table that came from one topic."""

    client: bigquery.Client
    dataset: str
    table: Table
    topic: str

    def below(self, offsets: Mapping[int, int]) -> int:
        """The number of messages below these offsets, by partition number, that have a row.

        Raises:
            SinkUnavailable, QueryFailed: see :func:`sinks.bigquery.query.run_query`.
        """
        places = "SELECT DISTINCT kafka_partition, kafka_offset"
        sql = f"SELECT COUNT(*) AS n FROM ({places} FROM {self._name} WHERE {self._of_topic('', offsets)})"
        return int(run_query(self.client, sql, self._parameters(), timeout_s=_TIMEOUT_S).rows[0]["n"])

    def remove_doubled(self, offsets: Mapping[int, int]) -> int:
        """Delete the rows below these offsets whose event also has a row of a later message; return their number.

        Raises:
            SinkUnavailable, QueryFailed: see :func:`sinks.bigquery.query.run_query`.
        """
        same = f"old.{self.table.event_id} = later.{self.table.event_id}"
        if self.table.has_replays:
            same += " AND IFNULL(old.replay_id, '') = IFNULL(later.replay_id, '')"
        sql = (
            f"SELECT DISTINCT old.kafka_partition AS number, old.kafka_offset AS place FROM {self._name} AS old "
            f"JOIN {self._name} AS later ON {same} AND old.kafka_partition = later.kafka_partition "
            f"WHERE {self._of_topic('old.', offsets)} AND later.kafka_topic = @topic "
            "AND old.kafka_offset < later.kafka_offset"
        )
        found = run_query(self.client, sql, self._parameters(), timeout_s=_TIMEOUT_S).rows
        self.remove([(TopicPartition(self.topic, row["number"]), row["place"]) for row in found])
        return len(found)

    def remove(self, places: Collection[tuple[TopicPartition, int]]) -> None:
        """Delete the rows of these messages.

        Raises:
            SinkUnavailable, QueryFailed: see :func:`sinks.bigquery.query.run_query`.
        """
        for number in {partition.partition for partition, _ in places}:
            offsets = sorted(offset for partition, offset in places if partition.partition == number)
            for start in range(0, len(offsets), _AT_ONCE):
                run_query(
                    self.client,
                    f"DELETE FROM {self._name} WHERE kafka_topic = @topic AND kafka_partition = {number} "
                    "AND kafka_offset IN UNNEST(@offsets)",
                    [*self._parameters(), ArrayQueryParameter("offsets", "INT64", offsets[start : start + _AT_ONCE])],
                    timeout_s=_TIMEOUT_S,
                )

    @property
    def _name(self) -> str:
        return f"`{self.dataset}.{self.table.name}`"

    def _parameters(self) -> list[ScalarQueryParameter | ArrayQueryParameter]:
        return [ScalarQueryParameter("topic", "STRING", self.topic)]

    def _of_topic(self, prefix: str, offsets: Mapping[int, int]) -> str:
        some = " OR ".join(
            f"({prefix}kafka_partition = {number} AND {prefix}kafka_offset < {offset})"
            for number, offset in offsets.items()
        )
        return f"{prefix}kafka_topic = @topic AND ({some or 'FALSE'})"
