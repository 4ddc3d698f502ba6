"""Times how long match takes until it answers from a large shard: with its own disk, without, and as a standby."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.embedder.card import Card
from schemas import codec, template_records
from schemas.clock import utc_now
from schemas.embeddings import Embedding, Face, FrameOrigin
from schemas.gallery import Template
from schemas.ingest import Consent, Mode
from schemas.parts import Box, Quality, Source, Timings
from schemas.results import Match
from streams.devtools.benchmarks.long_logs import fill_records
from streams.devtools.benchmarks.rows import Figures
from streams.devtools.local_stack import Stack
from streams.kafka.connection import admin_client
from streams.kafka.log_reader import LogReader
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.matching.changelog import changelog_name, ensure_changelog
from streams.matching.gallery_shard import template_key
from streams.model_registry.records import base_card
from streams.roles import Role

DECODED = "is decoded"
"""What a worker's log says of a shard that it holds for another one."""
_OF_A_USER = 1_000
_QUALITY = Quality(score=0.9, size=60.0, sharpness=120.0, brightness=0.5, yaw=0.0, overall=0.75)
_TIMEOUT_S = 600.0
_EPOCH = datetime.fromtimestamp(0, UTC)


def measure(folder: Path, templates: int, say: Callable[[str], None]) -> Iterator[Figures]:
    """Fill the changelog of one shard, and start and stop match workers.

    Each time is from the start of the worker, or the end of the one before, until a frame is answered.

    Yields:
        ``templates``; ``empty_s`` of a worker whose shard is empty, which is what starting takes; ``new_machine_s`` of
        one that has only the changelog; ``own_disk_s`` of one that has its table; ``standby_s`` of a running one with a
        copy; and the templates a second of the middle two beyond ``empty_s``.
    """
    yield {"templates": templates}
    with Stack(folder / "stack", say, partitions=1, standby_replicas=1) as stack:
        probe, card = _Probe(stack), base_card(stack.settings)
        ensure_changelog(admin_client(stack.settings), stack.settings, 1)
        empty_s = _starts(stack, probe, lambda: stack.add_worker(Role.MATCH))
        yield {"empty_s": empty_s}
        stack.services.supervisor.stop("match-0")
        say("writing the changelog")
        fill_records(stack.settings, changelog_name(stack.settings), _records(card, templates), templates)
        say("a new machine")
        new_s = _starts(stack, probe, lambda: stack.add_worker(Role.MATCH))
        yield {"new_machine_s": new_s, "new_machine_templates_per_s": _rate(templates, new_s - empty_s)}
        stack.services.supervisor.stop("match-1")
        say("its own disk")
        own_s = _starts(stack, probe, lambda: stack.add_worker(Role.MATCH))
        yield {"own_disk_s": own_s, "own_disk_templates_per_s": _rate(templates, own_s - empty_s)}
        say("a standby")
        name = stack.add_worker(Role.MATCH)
        _await_log(stack.folder / "logs" / f"{name}.log")
        yield {"standby_s": _starts(stack, probe, lambda: stack.services.supervisor.stop("match-2"))}


def _starts(stack: Stack, probe: _Probe, begin: Callable[[], object]) -> float:
    began = time.monotonic()
    begin()
    probe.await_answer()
    return round(time.monotonic() - began, 1)


def _rate(templates: int, seconds: float) -> int:
    return round(templates / max(seconds, 0.1))


def _await_log(path: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while DECODED not in (path.read_text("utf-8", "replace") if path.exists() else ""):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the standby has not decoded its copy within {_TIMEOUT_S:g} s")
        time.sleep(0.5)


class _Probe:
    """Asks the shard who somebody is."""

    def __init__(self, stack: Stack) -> None:
        self._settings = stack.settings
        self._card = base_card(stack.settings)
        self._writer = RecordWriter(stack.settings, Topic.EMBEDDINGS)

    def await_answer(self) -> None:
        """Send a frame's embedding, and wait for its match."""
        now, event_id = utc_now(), str(uuid.uuid4())
        vector = _vectors(self._card, 0)[0].tobytes()
        embedding = Embedding(
            event_id=event_id,
            user_id="user-0",
            origin=FrameOrigin("bench", 0, now, Mode.IDENTIFY),
            source=Source("frames", 0, 0),
            model_version=self._card.version,
            width=1,
            height=1,
            timings=Timings(now, now, now),
            faces=[Face(Box(0, 0, 1, 1), [0.0] * 10, _QUALITY, vector=vector)],
        )
        deadline = time.monotonic() + _TIMEOUT_S
        with LogReader(self._settings, Topic.MATCHES) as log:
            next_offsets = {number: end for number, (_, end) in log.bounds().items()}
            self._writer.write("user-0", codec.encode(embedding))
            while True:
                ranges = log.since(next_offsets)
                for message in log.messages(ranges):
                    if codec.decode(message.value, Match).event_id == event_id:
                        return
                next_offsets |= {one.partition: one.end_offset for one in ranges}
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no answer within {_TIMEOUT_S:g} s")
                time.sleep(0.1)


def _vectors(card: Card, block: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    vectors = np.random.default_rng(block).standard_normal((_OF_A_USER, card.output.dimensions), dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), "<f4")


def _records(card: Card, count: int) -> Iterator[tuple[bytes, bytes]]:
    consent, numbers = Consent("benchmark", _EPOCH), itertools.count()
    for block in range(-(-count // _OF_A_USER)):
        for vector in _vectors(card, block)[: count - block * _OF_A_USER]:
            number = next(numbers)
            one = Template(
                template_id=str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
                user_id=f"user-{block}",
                subject_id=f"subject-{number}",
                model_version=card.version,
                vector=vector.tobytes(),
                quality=_QUALITY,
                consent=consent,
                source=Source("uploads", 0, number),
                enrolled_at=_EPOCH,
            )
            yield template_key(one), template_records.encode(one)
