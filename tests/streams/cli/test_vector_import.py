"""``facestream import`` of vectors from elsewhere: with real workers, as any other enrolment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from models.testing.digest import CARD, DIMENSIONS
from schemas.embeddings import TemplateBatch
from schemas.results import Enrolment
from sinks.redis.keys import Keys
from streams.kafka.log_reader import read_events
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.operations.vector_files import file as vector_file
from streams.settings import Settings
from tests.streams.cli.conftest import Run
from tests.streams.retraining.conftest import until

pytestmark = pytest.mark.usefixtures("workers")

SUFFIXES = pytest.mark.parametrize("suffix", vector_file.SUFFIXES)
PEOPLE = 150


@pytest.fixture(autouse=True)
def model(tmp_path: Path, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line know the model of the workers."""
    folder = tmp_path / "digest"
    folder.mkdir()
    (folder / "card.json").write_text(CARD.model_dump_json(), "utf-8")
    monkeypatch.setenv("FACESTREAM_MODEL_DIR", str(folder))


def people(user: str, seed: int, **changes: Any) -> dict[str, Any]:
    """Two photos of each of many people, as another system has them."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((2 * PEOPLE, DIMENSIONS)).astype(np.float32)
    return {
        "user_id": np.array([user] * 2 * PEOPLE),
        "subject_id": np.array([f"person-{number // 2}" for number in range(2 * PEOPLE)]),
        "vector": vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        "consent_purpose": np.array(["recognition"] * 2 * PEOPLE),
        "consent_granted_at": np.array(["2025-01-01"] * 2 * PEOPLE, "datetime64[us]"),
    } | changes


def save(path: Path, columns: dict[str, Any]) -> Path:
    """As NumPy or pandas would save it."""
    if path.suffix == ".npz":
        np.savez(path, **columns)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({name: list(column) for name, column in columns.items()}), path)
    return path


def templates(path: Path) -> list[str]:
    return sorted(map(str, vector_file.read(path, CARD).templates()))


@SUFFIXES
def test_an_import_is_an_enrolment_and_is_exported_again(here: Run, tmp_path: Path, suffix: str) -> None:
    user = f"new{suffix}"
    path = save(tmp_path / f"new{suffix}", people(user, 1))
    unsaid = here("import", path)
    assert (unsaid.code, "give it with --model" in unsaid.err, unsaid.err.count("\n")) == (1, True, 1)
    planned = here("import", path, "--model", "digest", "--dry-run", "--json")
    assert (planned.code, planned.json["to_send"], planned.json["sent"]) == (0, 2 * PEOPLE, 0), planned.err
    imported = here("import", path, "--model", "digest", "--json")
    assert imported.code == 0, imported.err
    counts = [imported.json[one] for one in ("templates", "sent", "enrolled", "repeats", "no_outcome")]
    assert counts == [2 * PEOPLE, 2 * PEOPLE, 2 * PEOPLE, 0, 0]

    back = tmp_path / f"back{suffix}"
    exported = here("export", back, "--user", user, "--json")
    assert (exported.code, exported.json["templates"], exported.json["subjects"]) == (0, 2 * PEOPLE, PEOPLE), (
        exported.err
    )
    with pytest.raises(vector_file.UnusableVectors):
        vector_file.read(tmp_path / "digest/card.json", CARD)
    sent = vector_file.read(path, CARD)
    assert sorted(map(str, sent.templates())) == templates(back)
    for again in ((path, "--model", "digest"), (back,)):
        twice = here("import", *again, "--json")
        assert (twice.code, twice.json["there"], twice.json["sent"]) == (0, 2 * PEOPLE, 0), twice.err

    [listed] = [
        one
        for one in here("subjects", "list", "-u", user, "--json").json["subjects"]
        if one["subject_id"] == "person-7"
    ]
    assert listed["templates"] == 2
    connection = redis.Redis.from_url(Settings().redis_url, decode_responses=True)
    keys = Keys(Settings().redis_prefix)
    until(lambda: connection.hget(keys.subjects(user), "person-7") == "2", "the subject in Redis")
    some = next(iter(sent.templates()))
    answer = json.loads(str(connection.get(keys.enrolment(some.template_id))))
    assert (answer["outcome"], answer["subject_id"], answer["quality"]) == ("enrolled", some.subject_id, None)
    one = here("export", tmp_path / f"one{suffix}", "-u", user, "-s", "person-7", "--json")
    assert (one.json["templates"], one.json["subjects"]) == (2, 1)
    other = here("export", tmp_path / f"other{suffix}", "-u", user, "--model", "another")
    assert (other.code, "by the model version another, but by others: see --model" in other.err) == (1, True)


def test_nobody_who_was_erased_comes_back_by_an_import_or_by_its_messages(here: Run, tmp_path: Path) -> None:
    path = save(tmp_path / "gone.npz", people("gone", 2, model_version=np.array("digest")))
    assert here("import", path, "--json").json["enrolled"] == 2 * PEOPLE
    assert here("erase", "-u", "gone", "-s", "person-3", "--yes").code == 0
    again = here("import", path, "--json")
    assert [again.json[one] for one in ("erased", "there", "sent")] == [2, 2 * PEOPLE - 2, 0]
    assert here("erase", "-u", "gone", "--yes").code == 0
    # A message of the import that comes again after the erasure.
    settings = Settings()
    batches = [
        (message, event)
        for message, event in read_events(settings, Topic.EMBEDDINGS, TemplateBatch)
        if event.user_id == "gone"
    ]
    assert len(batches) < 20
    RecordWriter(settings, Topic.EMBEDDINGS).write_all(
        (event.user_id, message.value, None) for message, event in batches
    )

    def refused() -> list[Enrolment]:
        found = [event for _, event in read_events(settings, Topic.ENROLMENTS, Enrolment) if event.user_id == "gone"]
        return [one for one in found if one.refusal is not None and one.refusal.reason == "erased"]

    until(lambda: len(refused()) == 2 * PEOPLE, "refusals")
    assert "has nobody enrolled" in here("export", tmp_path / "after.npz", "-u", "gone").err
    # Who agrees again comes again.
    granted = np.array([np.datetime64("now")] * 2 * PEOPLE).astype("datetime64[us]")
    anew = save(tmp_path / "anew.npz", people("gone", 2, model_version=np.array("digest"), consent_granted_at=granted))
    result = here("import", anew, "--json")
    assert [result.json[one] for one in ("enrolled", "erased")] == [2 * PEOPLE, 0]


@SUFFIXES
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_version": np.array(["another"] * 2 * PEOPLE)},
            "the model version another, which is unknown here (known: digest",
        ),
        ({"vector": np.ones((2 * PEOPLE, 3), np.float32)}, "have 128 dimensions"),
        ({"user_id": np.array([""] * 2 * PEOPLE)}, "row 0: user_id must be a text that is not empty"),
    ],
    ids=["version", "dimensions", "id"],
)
def test_what_cannot_be_imported_is_said_in_one_line(
    here: Run, tmp_path: Path, suffix: str, changes: dict[str, Any], message: str
) -> None:
    path = save(
        tmp_path / f"wrong{suffix}", people("wrong", 3, model_version=np.array(["digest"] * 2 * PEOPLE)) | changes
    )
    refused = here("import", path)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert message in refused.err
