"""Rows for the tests of tables and views: written by the sink, asked for as an analyst would."""

from __future__ import annotations

from typing import Any

from schemas.dead_letters import DeadLetter, Resolution
from schemas.learning import Feedback
from schemas.results import Enrolment, Match
from schemas.rollout import Comparison
from schemas.sightings import Sighting
from sinks.base import Delivery, Position
from sinks.bigquery import Address, BigQuerySink, run_query


def write(address: Address, batch: list[Delivery]) -> None:
    kinds = {
        "matches": Match,
        "comparisons": Comparison,
        "enrolments": Enrolment,
        "dead-letters": DeadLetter,
        "resolutions": Resolution,
        "feedback": Feedback,
        "sightings": Sighting,
    }
    sink = BigQuerySink(address, kinds)
    sink.assign([Position(partition, 0, "") for partition in {one.partition for one in batch}])
    sink.write(batch)
    sink.close()


def ask(address: Address, sql: str) -> list[dict[str, Any]]:
    return run_query(address.rest_client(), sql, dataset=address.dataset_id).rows
