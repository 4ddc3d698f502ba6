"""Rolls a model version out and back under load: without loss, pause, or comparison of mixed versions."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.embedder.card import CARD_FILE, Card
from models.embedder.registry_snapshot import RegistrySnapshot
from models.testing.digest import CARD, DigestAnalyzer
from schemas.rollout import ModelRecord
from streams.devtools.benchmarks.load import Load, gap_s
from streams.devtools.benchmarks.rows import Figures, attempt
from streams.devtools.local_stack import Stack
from streams.devtools.reconciliation import Reconciliation, ReconciliationReport
from streams.model_registry import records, transitions
from streams.roles import ANSWERING, Embedder
from streams.rollout.backfill import backfill
from streams.rollout.vector_sources import VectorSource, from_uploads
from streams.settings import Settings

_NEW = CARD.model_copy(update={"version": f"{CARD.version}-2"})
_TIMEOUT_S = 120.0
_CANARY_PERCENT = 50.0


def measure(
    folder: Path, events_per_s: float, hold_s: float, workers: int, say: Callable[[str], None]
) -> Iterator[Figures]:
    """Run :func:`over_and_back` with this number of workers of each role."""
    with Stack(folder, say, live_stream_length=10**6) as stack:
        for role in ANSWERING:
            for _ in range(workers):
                stack.add_worker(role, "--embedder", Embedder.DIGEST)
        stack.await_owners()
        yield attempt("over and back", lambda: over_and_back(stack, events_per_s, hold_s, say))


def over_and_back(stack: Stack, events_per_s: float, hold_s: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Shadow, canary, promote and roll back while enrolments and frames flow; every picture shows an enrolled person.

    Vectors of another version are as far apart as those of another picture, so an answer from a mixed comparison is
    an unknown face.

    Returns:
        ``events`` that went in, ``lost``, ``duplicates``, ``gap_s`` (the longest time for which some user saw nothing
        new), ``gap_before_s`` (the same before the new version came), ``wrong`` answers, ``flips`` of a user between
        versions beyond the switches, ``follow_s`` (from a switch to the last answer by the version before, the
        longest), and ``answered_by`` each version.
    """
    settings, switches = stack.settings, []
    add_version(settings, _NEW)
    accounts = Reconciliation(settings)
    with Load(settings, events_per_s, "rollout") as load:
        time.sleep(hold_s)
        begins = time.time()
        steps: Sequence[Callable[[RegistrySnapshot], ModelRecord]] = (
            lambda registry: transitions.canary(registry, _NEW, _CANARY_PERCENT),
            lambda registry: transitions.promote(registry, _NEW),
            lambda registry: transitions.rollback(registry),
        )

        def go() -> Figures:
            say(f"{_NEW.version} decides beside")
            _step(settings, lambda registry: transitions.shadow(registry, _NEW))
            filled = backfill(settings, _NEW.version, [uploads(settings, _NEW.version)])
            say(f"{filled.made} templates were made")
            time.sleep(hold_s)
            for step in steps:
                record = _step(settings, step)
                say(f"{record.version} is {record.state}: {record.reason}")
                switches.append(time.time())
                time.sleep(hold_s)
            return {}

        trouble = attempt("steps", go)
    account = accounts.settle(list(load.sent), load.users, _TIMEOUT_S)
    accounts.close()
    frames = {one: answer for one, answer in account.answers.items() if "faces" in answer}
    # The load's own beginning is left out: clients connect, and galleries are empty.
    before = {one: at for one, at in account.live_at.items() if begins - hold_s / 2 < at < begins}
    after = {one: at for one, at in account.live_at.items() if at >= begins}
    return {
        "events": len(load.sent),
        "lost": account.lost,
        "duplicates": account.duplicates,
        "gap_s": round(gap_s(after, load.sent), 2),
        "gap_before_s": round(gap_s(before, load.sent), 2),
        "wrong": sum(
            any(face["decision"] != "match" or face["subject_id"] != load.sent[one] for face in answer["faces"])
            for one, answer in frames.items()
        ),
        "flips": sum(max(0, _changes(one) - 2) for one in _by_user(frames, account, load.sent).values()),
        **(trouble or {"follow_s": round(_follow_s(frames, account.live_at, switches), 2)}),
        "answered_by": dict(Counter(answer["model_version"] for answer in frames.values())),
    }


def add_version(settings: Settings, card: Card) -> None:
    """Put a version of the digest embedder, which has only a card, beside the others."""
    folder = settings.versions_dir / card.version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD_FILE).write_text(card.model_dump_json(), "utf-8")


def uploads(settings: Settings, version: str) -> VectorSource:
    """The source of vectors for a version of the digest embedder."""
    analyzer = DigestAnalyzer()
    analyzer.load(settings.versions_dir / version)
    return from_uploads(settings, analyzer, version)


def _step(settings: Settings, step: Callable[[RegistrySnapshot], ModelRecord]) -> ModelRecord:
    record = step(records.read_registry(settings, CARD.version))
    records.write(settings, record)
    return record


def _by_user(
    frames: Mapping[str, Mapping[str, Any]], account: ReconciliationReport, users: Mapping[str, str]
) -> dict[str, list[str]]:
    """The versions that answered each user, in order."""
    found: dict[str, list[str]] = {}
    for event_id in sorted(account.live_at.keys() & frames.keys(), key=lambda one: account.live_at[one]):
        found.setdefault(users[event_id], []).append(frames[event_id]["model_version"])
    return found


def _changes(versions: Sequence[str]) -> int:
    return sum(before != after for before, after in itertools.pairwise(versions))


def _follow_s(
    frames: Mapping[str, Mapping[str, Any]], live_at: Mapping[str, float], switches: Sequence[float]
) -> float:
    """Check that the new version answers everybody after the promotion, and the old one after the rollback."""
    longest = 0.0
    _, promoted, rolled_back = switches
    for after, until, old in ((promoted, rolled_back, CARD.version), (rolled_back, float("inf"), _NEW.version)):
        late = [at for one, at in live_at.items() if one in frames and frames[one]["model_version"] == old]
        longest = max([longest, *(at - after for at in late if after < at < until)])
    return longest
