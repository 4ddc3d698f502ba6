from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from infra.services import LocalServices
from schemas import codec
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.learning import Chip, RunState, TrainingRun
from schemas.parts import Source
from streams.kafka.connection import admin_client, client_config
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.retraining.run_log import runs
from streams.settings import Settings
from tests.sinks.examples import QUALITY
from tests.waiting import wait_until

LEASE_S = 6.0


@pytest.fixture
def settings(services: LocalServices, tmp_path: Path) -> Settings:
    """Topics of its own, with faces of twelve people, and a home of its own."""
    made = Settings(
        **services.addresses.settings(),
        topic_prefix=f"runs-{uuid.uuid4().hex[:8]}.",
        partitions=2,
        home=tmp_path,
        retrain_lease_s=LEASE_S,
        retrain_schedule="* * * * * */4",
        retrain_min_people=12,
    )
    create(admin_client(made), made)
    enrol(made, 12)
    return made


def enrol(settings: Settings, people: int) -> None:
    """Put a face of each of so many new people on the topic ``chips``."""
    producer = confluent_kafka.Producer(client_config(settings))
    now = utc_now()
    for _ in range(people):
        person = uuid.uuid4().hex[:8]
        consent = Consent("tests", now, training=True)
        chip = Chip(new_event_id(), "anna", person, b"face", "some", QUALITY, consent, Source("uploads", 0, 1), now)
        producer.produce(Topic.CHIPS.named(settings), codec.encode(chip), chip.event_id.encode())
    assert producer.flush(20) == 0


def trained(settings: Settings) -> list[TrainingRun]:
    """The runs that were begun."""
    return [one for one in runs(settings) if one.state is not RunState.SKIPPED]


def starts(settings: Settings) -> list[dict[str, Any]]:
    """What the cheap trainers said when they began."""
    path = settings.home / "starts"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until(condition: Callable[[], object], what: str, timeout_s: float = 60) -> None:
    wait_until(condition, timeout_s, what)
