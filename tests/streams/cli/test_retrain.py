"""``facestream retrain``, on faces that nobody has: what matters here is what is read, written and said."""

from __future__ import annotations

from pathlib import Path

import confluent_kafka
import cv2
import numpy as np

from models.analysis import chips
from models.embedder.card import Card, Source
from schemas import codec
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.learning import Chip
from schemas.parts import Source as Place
from tests.sinks.examples import QUALITY
from tests.streams.cli.conftest import Run

PEOPLE = 12


def fill(cluster: dict[str, str]) -> None:
    random, now = np.random.default_rng(3), utc_now()
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster["FACESTREAM_KAFKA"]})
    for person in range(PEOPLE):
        look = cv2.resize(random.integers(0, 255, (5, 5, 3), np.uint8), (150, 150), interpolation=cv2.INTER_CUBIC)
        for _ in range(3):
            picture = np.clip(look + random.normal(0, 12, look.shape), 0, 255).astype(np.uint8)
            consent = Consent("tests", now, training=True)
            source, jpeg = Place("uploads", 0, 1), chips.encode(picture)
            chip = Chip(new_event_id(), "anna", f"{person}", jpeg, "some", QUALITY, consent, source, now)
            producer.produce(f"{cluster['FACESTREAM_TOPIC_PREFIX']}chips", codec.encode(chip), chip.event_id.encode())
    assert producer.flush(20) == 0


def test_a_version_is_made_of_what_is_on_the_topic_and_the_gate_says_why_not(
    facestream: Run, cluster: dict[str, str], tmp_path: Path
) -> None:
    assert facestream("topics", "create").code == 0
    fill(cluster)
    groups = "".join(f"{person},{('young', 'old')[person % 2]}\n" for person in range(PEOPLE))
    (tmp_path / "groups.csv").write_text(f"subject_id,age\n{groups}", "utf-8")
    refused = facestream("retrain", "--mode", "head", "--json")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert f"there are {PEOPLE}, with {3 * PEOPLE} faces" in refused.err
    assert "may take over needs 10 with 50 faces and 4: lacking are" in refused.err
    assert not list(tmp_path.rglob("head-*")), "nothing was trained"
    ended = facestream("retrain", "--mode", "head", "--anyway", "--groups", tmp_path / "groups.csv", "--json")
    assert ended.code == 0, ended.err
    made = ended.json
    lineage = made["lineage"]
    assert (lineage["parent"], lineage["mode"]) == ("dlib-resnet-v1", "head")
    assert lineage["people"] + lineage["people_tested"] == PEOPLE
    topic = f"{cluster['FACESTREAM_TOPIC_PREFIX']}chips"
    assert sum(lineage["source"]["offsets"][topic].values()) == 3 * PEOPLE
    assert {one["by"] for one in lineage["groups"]} == {"age"}
    assert not made["accepted"]
    assert "it was trained on" in made["refusals"][0]
    assert f"it must not take over: {made['refusals'][0]}" in ended.err
    card = Card.read(Path(made["folder"]))
    assert card.version == made["version"]
    assert card.lineage is not None
    assert card.lineage.model_dump(mode="json") == lineage
    # As of a version that read the topic when nothing was there yet.
    before = card.lineage.model_copy(update={"source": Source(offsets={topic: {}})})
    (tmp_path / "card.json").write_text(card.model_copy(update={"lineage": before}).model_dump_json(), "utf-8")
    nothing = facestream("retrain", "--up-to", tmp_path)
    assert nothing.code == 1
    assert "there are 0, with 0 faces" in nothing.err
    nothing = facestream("retrain", "--up-to", tmp_path, "--anyway")
    assert nothing.code == 1
    assert "of 0 people" in nothing.err
    listed = facestream("models", "list", "--json").json
    assert {one["version"]: bool(one["refusals"]) for one in listed["versions"]} == {
        "sface-2021dec": False,
        "dlib-resnet-v1": False,
        made["version"]: True,
    }
    shown = facestream("models", "show", made["version"], "--html")
    assert made["refusals"][0] in shown.out
    assert f"{made['version']}.html" in shown.out
    assert "FNMR" in shown.out
    assert lineage["digest"] in (tmp_path / f"{made['version']}.html").read_text("utf-8")
    missing = facestream("models", "show", "nobody")
    assert missing.code == 1
    assert made["version"] in missing.err
