"""Times searches over all users on a stack with one worker a role, and estimates a cluster from measured parts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from models.matching.decision import Probes
from models.matching.gallery import Embedded, Vectors
from models.matching.merging import merged
from models.matching.search import search
from models.matching.searchable import SearchableTemplates
from models.testing.digest import CARD, DIMENSIONS, DigestAnalyzer
from schemas import codec
from schemas.gallery import Template
from schemas.ingest import Consent, Mode
from schemas.parts import Source, Timings
from schemas.results import Match, SearchCoverage
from sinks.redis import RedisResults
from streams.client.producer import Producer
from streams.devtools.benchmarks.cpu import cpu_s
from streams.devtools.benchmarks.long_logs import QUALITY, write_templates
from streams.devtools.benchmarks.rows import Figures
from streams.devtools.local_stack import Stack
from streams.kafka.partitioner import partition_of
from streams.roles import Embedder, Role

_ROLES = (Role.EMBED, Role.MATCH, Role.SEARCH, Role.SINK_REDIS)
_PURPOSE = "benchmark"
_PER_USER = 10
"""Templates of a user, each of a subject of its own."""
_EPOCH = datetime.fromtimestamp(0, UTC)
_AT_ONCE = 10_000
_CANDIDATES = 20
_TIMEOUT_S = 300.0
_SHARDS, _SHARD = 10, 1_000_000
"""The cluster that is estimated: its shards, and the templates of each."""


def measure(
    folder: Path, templates: int, shards: int, searches: int, report: Callable[[str], None]
) -> Iterator[Figures]:
    """Search for pictures of which one person is enrolled, among random templates.

    Args:
        folder: an empty folder.
        templates: in all shards.
        shards: partitions.
        searches: one by one, and as many at once.
        report: called with each step.

    Yields:
        ``p50_ms`` and ``p99_ms`` of one search at a time, from the broker's time stamp of the frame to the merged
        answer; ``searches_per_s`` of many at once, and ``cpu_ms_per_search`` of each role meanwhile; ``lost``,
        ``incomplete`` and ``wrong`` answers; ``ten_shards``: what 10 million templates in 10 shards would take, from
        ``shard``, a search of one shard of a million, ``way``, a search here without the time of the shards, and
        ``merge``, the merging of ten parts.
    """
    yield {"templates": templates, "shards": shards, "searches": searches}
    changes: dict[str, Any] = {"partitions": shards, "search_purposes": [_PURPOSE], "search_deadline_s": _TIMEOUT_S}
    with Stack(folder / "home", report, **changes) as stack:
        report(f"writing {templates} templates")
        write_templates(
            stack.settings,
            _templates(templates, searches),
            templates,
            lambda number: partition_of(_user(number), shards),
        )
        report("loading them")
        stack.add_workers(Embedder.DIGEST, _ROLES)
        with Producer(stack.settings, check_format=False) as producer:
            results = RedisResults.of(stack.settings)
            with closing(results):
                _ask(producer, results, ["warm up"])
                report(f"{searches} searches, one by one")
                alone = [_ask(producer, results, [_picture(number)])[0] for number in range(searches)]
                report(f"{searches} searches at once")
                before = {role: cpu_s(stack, role) for role in _ROLES}
                together = _ask(producer, results, [_picture(number) for number in range(searches)])
                cost = {role: (cpu_s(stack, role) - before[role]) / searches for role in _ROLES}
    took = [_latency_ms(one) for one in alone if one is not None]
    came = [one for one in together if one is not None]
    span_s = (max(map(_answered_at, came)) - min(map(_sent_at, came))).total_seconds()
    found = _percentiles(took)
    yield found | {
        "searches_per_s": round(len(came) / span_s, 1),
        "cpu_ms_per_search": {str(role): round(1000 * seconds, 2) for role, seconds in cost.items()},
        "lost": sum(one is None for one in (*alone, *together)),
        "incomplete": sum(len(one["search"]["answered"]) < shards for one in (*alone, *together) if one is not None),
        "wrong": sum(
            one["faces"][0]["candidates"][0]["user_id"] != _user(number)
            for answers in (alone, together)
            for number, one in enumerate(answers)
            if one is not None
        ),
    }
    report(f"one shard of {_SHARD} templates")
    own, million = _shard_ms(templates, searches), _shard_ms(_SHARD, searches)
    yield {"ten_shards": _estimate(took, own, million, _merge_ms(searches))}


def _estimate(took: Sequence[float], own: Sequence[float], million: Sequence[float], merge: Sequence[float]) -> Figures:
    """What a search takes where each of ten shards of a million templates has a machine of its own.

    Args:
        took: milliseconds of searches here, where one worker searches all shards.
        own: of a search among as many templates alone.
        million: of a search among a million.
        merge: of merging ten parts.
    """
    # Whoever waits for ten shards waits for the slowest of them.
    random = np.random.default_rng(0)
    slowest = random.choice(np.array(million), (1000, _SHARDS)).max(axis=1)
    way = np.maximum(0.0, np.array(took) - float(np.median(own)))
    whole = slowest + random.choice(way, 1000) + random.choice(np.array(merge), 1000)
    parts = {"shard": million, "way": way.tolist(), "merge": merge}
    return {"templates": _SHARDS * _SHARD, "shards": _SHARDS, **_percentiles(whole.tolist())} | {
        name: _percentiles(values) for name, values in parts.items()
    }


def _ask(producer: Producer, results: RedisResults, pictures: Sequence[str]) -> list[dict[str, Any] | None]:
    """The answers to searches that are sent at once; None for one that did not come."""
    sent = [producer.frame("asks", one.encode() * 100, camera_id="desk", mode=Mode.SEARCH).event_id for one in pictures]
    found = results.wait_for(sent, _TIMEOUT_S)
    return [found.get(event_id) for event_id in sent]


def _templates(count: int, pictures: int) -> Iterator[Template]:
    """Templates of random vectors, but for the first ones: they are of pictures that are searched for."""
    random, analyzer = np.random.default_rng(0), DigestAnalyzer()
    for start in range(0, count, _AT_ONCE):
        for number, vector in enumerate(_unit(random, min(_AT_ONCE, count - start)), start):
            if number < pictures:
                vector = _vector(analyzer, _picture(number))
            yield Template(
                template_id=str(uuid.UUID(int=number + 1)),
                user_id=_user(number),
                subject_id=f"subject-{number}",
                model_version=CARD.version,
                vector=vector.tobytes(),
                quality=QUALITY,
                consent=Consent(_PURPOSE, _EPOCH),
                source=Source("uploads", 0, number),
                enrolled_at=_EPOCH,
            )


def _shard_ms(templates: int, searches: int) -> list[float]:
    """Milliseconds of searches for one face in one shard, without Kafka."""
    random, made = np.random.default_rng(1), SearchableTemplates()
    for start in range(0, templates, _AT_ONCE):
        vectors = _unit(random, min(_AT_ONCE, templates - start))
        for at in range(0, len(vectors), _PER_USER):
            some = vectors[at : at + _PER_USER]
            names = [(f"subject-{start + at + n}", str(uuid.UUID(int=start + at + n + 1))) for n in range(len(some))]
            made.fill(_user(start + at), names, Embedded(CARD.version, some))
    took = []
    for number in range(searches):
        probe = _probe(_picture(number))
        began = time.perf_counter()
        search([probe], made, CARD, threshold=CARD.threshold(), candidates=_CANDIDATES)
        took.append(1000 * (time.perf_counter() - began))
    return took


def _merge_ms(searches: int) -> list[float]:
    """Milliseconds of decoding, merging and encoding the parts of ten shards."""
    random = np.random.default_rng(2)
    parts = [codec.encode(_part(random, shard)) for shard in range(_SHARDS)]
    took = []
    for _ in range(searches):
        began = time.perf_counter()
        codec.encode(merged([codec.decode(one, Match) for one in parts], _CANDIDATES))
        took.append(1000 * (time.perf_counter() - began))
    return took


def _part(random: np.random.Generator, shard: int) -> Match:
    templates = SearchableTemplates()
    names = [(f"subject-{number}", str(uuid.UUID(int=number + 1))) for number in range(100)]
    templates.fill(_user(shard), names, Embedded(CARD.version, _unit(random, 100)))
    [faces] = search([_probe("x")], templates, CARD, threshold=CARD.threshold(), candidates=_CANDIDATES)
    timings = Timings(_EPOCH, _EPOCH, _EPOCH)
    match = Match(
        event_id=str(uuid.UUID(int=1)),
        user_id="asks",
        camera_id="desk",
        sequence=0,
        captured_at=_EPOCH,
        mode=Mode.SEARCH,
        source=Source("frames", 0, 0),
        model_version=CARD.version,
        threshold_set=CARD.default_threshold,
        width=1,
        height=1,
        timings=timings,
        matched_at=_EPOCH,
        faces=faces,
    )
    return replace(match, search=SearchCoverage(_SHARDS, [shard], _SHARD, _EPOCH))


def _probe(picture: str) -> Probes:
    [analysis] = DigestAnalyzer().analyze([picture.encode() * 100], enrolment=[False], versions=[[CARD.version]])
    return Probes(CARD.version, analysis.faces, [face.vector for face in analysis.faces])


def _vector(analyzer: DigestAnalyzer, picture: str) -> Vectors:
    [analysis] = analyzer.analyze([picture.encode() * 100], enrolment=[True], versions=[[CARD.version]])
    return np.frombuffer(analysis.faces[0].vector or b"", "<f4")


def _unit(random: np.random.Generator, count: int) -> Vectors:
    vectors = random.standard_normal((count, DIMENSIONS), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _user(number: int) -> str:
    return f"user-{number // _PER_USER}"


def _picture(number: int) -> str:
    return f"person {number}"


def _sent_at(answer: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(answer["timings"]["produced_at"])


def _answered_at(answer: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(answer["matched_at"])


def _latency_ms(answer: dict[str, Any]) -> float:
    return (_answered_at(answer) - _sent_at(answer)) / timedelta(milliseconds=1)


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{share}_ms": round(float(np.percentile(values, share)), 2) for share in (50, 99)}
