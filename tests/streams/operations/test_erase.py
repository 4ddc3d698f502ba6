"""The receipt of an erasure names whatever may have learned from the person's faces."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from infra.services import LocalServices
from models.embedder.card import Card, Lineage
from models.embedder.card import Source as ReadFrom
from models.embedder.references import FAST
from schemas import codec
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.learning import Chip, RunState, TrainingRun
from schemas.parts import Source
from streams.kafka.connection import admin_client
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.operations.erase import erase
from streams.retraining.run_log import RunLog
from streams.settings import Settings
from tests.sinks.examples import QUALITY


def keep_faces(settings: Settings, user_id: str, count: int) -> None:
    now, chips = utc_now(), RecordWriter(settings, Topic.CHIPS)
    consent = Consent("tests", now, training=True)
    for _ in range(count):
        chip = Chip(new_event_id(), user_id, "otto", b"face", "some", QUALITY, consent, Source("uploads", 0, 1), now)
        chips.write(chip.event_id, codec.encode(chip), 0)


def run(settings: Settings, run_id: str, state: RunState, until: int, **changes: Any) -> None:
    """A scheduled training whose set ends at this offset of the topic ``chips``."""
    now = utc_now()
    ends = [Source(Topic.CHIPS.value, 0, until), Source(Topic.FEEDBACK.value, 0, 99)]
    with RunLog(settings) as log:
        log.append(
            TrainingRun(run_id, state, "", now, [], ends, 1, 1, new_event_id(), 1, "a", "here", now, now, **changes)
        )


def test_the_receipt_names_versions_that_nobody_rolled_out_and_trainings_under_way(
    services: LocalServices, tmp_path: Path
) -> None:
    settings = Settings(
        **services.addresses.settings(), topic_prefix=f"erase-{uuid.uuid4().hex[:8]}.", partitions=1, home=tmp_path
    )
    create(admin_client(settings), settings)
    keep_faces(settings, "bert", 1)
    keep_faces(settings, "anna", 1)
    run(settings, "before-her", RunState.RUNNING, 1)
    run(settings, "with-her", RunState.RUNNING, 2)
    run(settings, "failed", RunState.FAILED, 2)
    run(settings, "refused", RunState.REFUSED, 2, version="head-1")
    source = ReadFrom(offsets={Topic.CHIPS.named(settings): {0: 2}})
    lineage = Lineage(parent="fast", mode="full", people=1, chips=1, people_tested=1, source=source, digest="")
    trained = Card.read(FAST).model_copy(update={"version": "by-hand", "lineage": lineage})
    (settings.versions_dir / "by-hand").mkdir(parents=True)
    (settings.versions_dir / "by-hand" / "card.json").write_text(trained.model_dump_json())
    receipt = erase(settings, "anna", "otto", timeout_s=0.0)
    assert receipt.removed["chips"] == {"faces": 1}
    assert set(receipt.may_have_learned) == {"run with-her", "head-1", "by-hand"}
