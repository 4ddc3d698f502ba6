"""A match worker that is killed while it reads a large gallery, and killed again, has all of it in the end, once."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import rocksdict
from faust.stores.rocksdb import Store

from infra.services import LocalServices
from schemas import codec, template_records
from schemas.clock import utc_now
from schemas.embeddings import Embedding, Face, FrameOrigin
from schemas.gallery import Template
from schemas.ingest import Consent, Mode
from schemas.parts import Source, Timings
from schemas.results import Match
from streams.devtools.benchmarks.long_logs import fill_records
from streams.kafka.connection import admin_client
from streams.kafka.log_reader import LogReader
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.matching.changelog import changelog_name, ensure_changelog
from streams.matching.gallery_shard import template_key
from streams.matching.gallery_table import Entry
from streams.model_registry.records import base_card
from streams.settings import Settings, variables
from tests.sinks.examples import BOX, QUALITY
from tests.streams.cli import preloaded

TEMPLATES, USER = 60_000, "ursula"
_BEFORE_A_KILL = 8 << 20
"""Bytes by which the worker's folder grows before it is killed."""
_WITHIN_S = 120.0


@contextmanager
def worker(settings: Settings, log: Path) -> Iterator[preloaded.Started]:
    """A match worker as a process of its own."""
    environment = os.environ | variables(settings.model_dump(mode="json", exclude_unset=True))
    with log.open("ab") as out:
        process = preloaded.start(["worker", "match"], environment, Path.cwd(), out, out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)


def size(folder: Path) -> int:
    """Bytes of the files of tables."""
    found = 0
    for path in folder.glob("workers/*/**/gallery-0.db/*"):
        with suppress(FileNotFoundError):  # merged with another one just now
            found += path.stat().st_size
    return found


def kill_on_the_way(settings: Settings, log: Path) -> int:
    """Start a worker, and kill it once it has written some of the gallery; return the offset that its copy has."""
    before, deadline = size(settings.home), time.monotonic() + _WITHIN_S
    with worker(settings, log) as process:
        while size(settings.home) < before + _BEFORE_A_KILL:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    offset = stored(settings.home).get(Store.offset_key)
    assert offset is not None
    return int(offset)


def stored(home: Path) -> dict[bytes, bytes]:
    """What a table has, of a worker that is not running."""
    [path] = home.glob("workers/*/**/gallery-0.db")
    table = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))
    try:
        return dict(table.items())
    finally:
        table.close()


def templates(version: str, dimensions: int) -> list[Template]:
    vectors = np.random.default_rng(0).standard_normal((TEMPLATES, dimensions), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    consent, now = Consent("tests", utc_now()), utc_now()
    return [
        Template(
            template_id=str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
            user_id=USER,
            subject_id=f"subject-{number}",
            model_version=version,
            vector=vector.astype("<f4").tobytes(),
            quality=QUALITY,
            consent=consent,
            source=Source("uploads", 0, number),
            enrolled_at=now,
        )
        for number, vector in enumerate(vectors)
    ]


def entries(made: list[Template]) -> Iterator[Entry]:
    """All are written; every tenth is erased at once, every tenth later, and of these every second comes back."""
    for number, one in enumerate(made):
        yield template_key(one), template_records.encode(one)
        if number % 10 == 1:
            yield template_key(one), None
    for one in made[2::10]:
        yield template_key(one), None
    for one in made[2::20]:
        yield template_key(one), template_records.encode(one)


def recognised(settings: Settings, asked: list[Template]) -> list[str | None]:
    """Whom a frame with the faces of these templates shows."""
    now, event_id = utc_now(), str(uuid.uuid4())
    embedding = Embedding(
        event_id=event_id,
        user_id=USER,
        origin=FrameOrigin("door", 0, now, Mode.IDENTIFY),
        source=Source("frames", 0, 0),
        model_version=asked[0].model_version,
        width=1,
        height=1,
        timings=Timings(now, now, now),
        faces=[Face(BOX, [0.0] * 10, QUALITY, vector=one.vector) for one in asked],
    )
    deadline = time.monotonic() + _WITHIN_S / 2
    with LogReader(settings, Topic.MATCHES) as log:
        RecordWriter(settings, Topic.EMBEDDINGS).write(USER, codec.encode(embedding))
        while time.monotonic() < deadline:
            for message in log.messages(log.since({})):
                match = codec.decode(message.value, Match)
                if match.event_id == event_id:
                    return [
                        face.candidates[0].subject_id if face.candidates[0].distance == 0 else None
                        for face in match.faces
                    ]
            time.sleep(0.2)
    raise AssertionError("the frame was not answered")


def test_a_worker_killed_twice_in_its_recovery_has_every_template_once_and_no_erased_one(
    services: LocalServices, tmp_path: Path
) -> None:
    settings = Settings(
        **services.addresses.settings(),
        topic_prefix=f"killed-{uuid.uuid4().hex[:8]}.",
        partitions=1,
        home=tmp_path / "home",
        compact_galleries=True,
    )
    admin, card = admin_client(settings), base_card(settings)
    create(admin, settings)
    ensure_changelog(admin, settings, 1)
    made = templates(card.version, card.output.dimensions)
    written = list(entries(made))
    fill_records(settings, changelog_name(settings), iter(written), len(written))
    expected: dict[bytes, bytes] = {}
    for key, value in written:
        if value is None:
            del expected[key]
        else:
            expected[key] = value

    log = tmp_path / "worker.log"
    first, second = kill_on_the_way(settings, log), kill_on_the_way(settings, log)
    assert 0 < first < second < len(written) - 1, "it was killed on the way"
    assert "is read anew" not in log.read_text(), "what it had read already was of use"

    asked = [made[at] for at in (0, 1, 2, 11, 12, TEMPLATES - 1)]
    with worker(settings, log):
        found = recognised(settings, asked)
    assert found == ["subject-0", None, "subject-2", None, None, f"subject-{TEMPLATES - 1}"]
    copy = stored(settings.home)
    del copy[Store.offset_key]
    assert copy == expected
