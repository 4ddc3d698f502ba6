"""Reads from a table which events it has already.

A query for a window also restricts the day of the decision, by which tables are partitioned, so that BigQuery reads few
days. A decision is later than the event's time, or earlier if the camera's clock is ahead; up to a day is allowed for
that. Events further ahead are looked up by their ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from google.cloud import bigquery
from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

from sinks.base import Result, SinkUnavailable
from sinks.bigquery.query import Parameter, QueryFailed, run_query
from sinks.bigquery.tables import Table, event_id
from sinks.bigquery.window import DAY, FOREVER, Item, Load, key_of, make_key

_IDS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class History:
    """The rows of one table; ``limit`` bounds what is read of a partition."""

    client: bigquery.Client
    dataset: str
    table: Table
    limit: int
    timeout_s: float

    def load(self, loads: Mapping[int, Load]) -> dict[int, list[Item]]:
        """Read windows of partitions, by number, in order of event time; the latest first if a load extends a window.

        Raises:
            SinkUnavailable: BigQuery does not answer.
        """
        found: dict[int, list[Item]] = {}
        for extends in (False, True):
            group = {number: load for number, load in loads.items() if load.extends is extends}
            if group:
                found |= self._load(group, "DESC" if extends else "ASC")
        return found

    def _load(self, loads: Mapping[int, Load], order: str) -> dict[int, list[Item]]:
        time = self.table.event_time
        parts: list[str] = []
        parameters: list[Parameter] = []
        for number, load in loads.items():
            conditions = [
                f"kafka_partition = {number}",
                f"{time} >= TIMESTAMP_MICROS(@low{number})",
                f"{self.table.decided_at} >= TIMESTAMP_MICROS(@low{number} - {DAY})",
            ]
            parameters.append(ScalarQueryParameter(f"low{number}", "INT64", load.low))
            if load.high < FOREVER:
                conditions.append(f"{time} < TIMESTAMP_MICROS(@high{number})")
                parameters.append(ScalarQueryParameter(f"high{number}", "INT64", load.high))
            parts.append(f"({' AND '.join(conditions)})")
        rows = self._ask(
            f"SELECT kafka_partition, UNIX_MICROS({time}) AS event_time, {self._key()} "
            f"FROM `{self.dataset}.{self.table.name}` WHERE {' OR '.join(parts)} "
            f"QUALIFY ROW_NUMBER() OVER (PARTITION BY kafka_partition ORDER BY {time} {order}) <= {self.limit} "
            f"ORDER BY event_time {order}",
            parameters,
        )
        found: dict[int, list[Item]] = {number: [] for number in loads}
        for number, event_time, id_, replay_id in rows:
            found[number].append((event_time, make_key(id_, replay_id)))
        return found

    def written(self, events: Collection[Result]) -> set[bytes]:
        """The keys of the given events that have a row.

        Raises:
            SinkUnavailable: BigQuery does not answer.
        """
        found: set[bytes] = set()
        ids = sorted({event_id(event) for event in events})
        for start in range(0, len(ids), _IDS_AT_ONCE):
            rows = self._ask(
                f"SELECT {self._key()} FROM `{self.dataset}.{self.table.name}` "
                f"WHERE {self.table.event_id} IN UNNEST(@ids)",
                [ArrayQueryParameter("ids", "STRING", ids[start : start + _IDS_AT_ONCE])],
            )
            found.update(make_key(id_, replay_id) for id_, replay_id in rows)
        return found & {key_of(event) for event in events}

    def _key(self) -> str:
        replay = "replay_id" if self.table.has_replays else "CAST(NULL AS STRING) AS replay_id"
        return f"{self.table.event_id} AS id, {replay}"

    def _ask(self, sql: str, parameters: list[Parameter]) -> list[tuple[Any, ...]]:
        try:
            answer = run_query(self.client, sql, parameters, timeout_s=self.timeout_s)
        except QueryFailed as error:
            raise SinkUnavailable(
                f"table {self.table.name} cannot be read, try `facestream bigquery apply`: {error}"
            ) from error
        return [tuple(row.values()) for row in answer.rows]
