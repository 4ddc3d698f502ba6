"""Compares the throughput of the pipeline with that of the bare models."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from infra.photos import sample_photos
from models.analysis.analyzer import Analyzer
from models.embedder.card import Card
from models.embedder.model import Model
from models.matching.decision import Probes, decide
from models.matching.gallery import Embedded, Gallery
from schemas.ingest import Mode
from streams.client.producer import Producer
from streams.devtools.benchmarks.rows import NOT_MEASURED, Figures, attempt
from streams.devtools.local_stack import Stack
from streams.devtools.reconciliation import Reconciliation, ReconciliationReport
from streams.devtools.synthetic_frames import frames_of_people
from streams.settings import Settings

_USERS = 16
_DISTINCT = 240
_BARE_FRAMES = 400
_TIMEOUT_S = 600.0
_ASK_EVERY_S = 5.0


def measure(folder: Path, frames: int, rounds: int, say: Callable[[str], None]) -> Iterator[Figures]:
    """Run the services, the bare loop, the pipeline under a backlog, and the bare loop again.

    Yields:
        ``bare_loop_frames_per_s`` (median), then ``frames_per_s`` between the first and the last tenth of the results,
        ``lost`` and ``duplicates``; last ``efficiency`` (the ratio of the two speeds).
    """
    pictures = frames_of_people(_DISTINCT)
    portrait = (sample_photos() / "obama.jpg").read_bytes()
    with Stack(folder, say, live_stream_length=10 * frames) as stack:
        bare = _BareLoop(stack.settings, portrait)
        speeds: list[float] = []

        def bare_loop() -> Figures:
            say("measuring the bare loop")
            speeds.extend(bare.frames_per_s(pictures) for _ in range(rounds))
            return {
                "bare_loop_frames_per_s": round(statistics.median(speeds), 1),
                "bare_loop_rounds": [round(speed, 1) for speed in speeds],
            }

        def pipeline() -> Figures:
            stack.add_workers()
            say("measuring the pipeline")
            frames_per_s, account = backlog(stack.settings, pictures, frames, portrait)
            return {
                "frames_per_s": round(frames_per_s, 1),
                "lost": account.lost,
                "duplicates": account.duplicates,
            }

        yield attempt("bare loop", bare_loop)
        piped = attempt("pipeline", pipeline)
        yield piped
        for name in list(stack.services.supervisor.running()):
            if name.startswith("embed"):
                stack.services.supervisor.stop(name)
        yield attempt("bare loop again", bare_loop)
    if speeds and NOT_MEASURED not in piped:
        yield {"efficiency": round(piped["frames_per_s"] / statistics.median(speeds), 3)}


class _BareLoop:
    """Decode, detect, align, embed and match in one process, in micro-batches as large as the worker's."""

    def __init__(self, settings: Settings, enrolled: bytes) -> None:
        model = Model.load(settings.chosen_model_dir, threads=settings.cpu_threads)
        self._batch_size = settings.batch_size
        self._candidates = settings.candidates
        self._card: Card = model.card
        self._analyzer = Analyzer(model, threads=settings.cpu_threads)
        self._analyzer.warm_up()
        self._gallery = Gallery(self._card.version, self._card.output.dimensions)
        vector = self._analyzer.analyze([enrolled], enrolment=True)[0].faces[0].vector or b""
        self._gallery.put("user", "subject", "template", Embedded(self._card.version, np.frombuffer(vector, "<f4")))

    def frames_per_s(self, pictures: Sequence[bytes]) -> float:
        frames = list(itertools.islice(itertools.cycle(pictures), _BARE_FRAMES))
        began = time.perf_counter()
        for start in range(0, len(frames), self._batch_size):
            for analysis in self._analyzer.analyze(frames[start : start + self._batch_size]):
                decide(
                    Probes(self._card.version, analysis.faces, [face.vector for face in analysis.faces]),
                    self._gallery,
                    self._card,
                    user_id="user",
                    mode=Mode.IDENTIFY,
                    candidates=self._candidates,
                )
        return len(frames) / (time.perf_counter() - began)


def backlog(
    settings: Settings, pictures: Sequence[bytes], frames: int, enrolled: bytes
) -> tuple[float, ReconciliationReport]:
    """Throughput with a backlog: the frames are sent as fast as Kafka takes them."""
    users = [f"user-{number}" for number in range(_USERS)]
    with Producer(settings) as producer:
        events = [producer.enrol(user, enrolled, consent="benchmark").event_id for user in users]
        for user, jpeg in zip(
            itertools.cycle(users), itertools.islice(itertools.cycle(pictures), frames), strict=False
        ):
            events.append(producer.frame(user, jpeg, camera_id="bench").event_id)
    accounts = Reconciliation(settings)
    account = accounts.settle(events, users, _TIMEOUT_S, ask_every_s=_ASK_EVERY_S)
    accounts.close()
    seen = sorted(account.live_at[one] for one in events[_USERS:] if one in account.live_at)
    first, last = len(seen) // 10, len(seen) - len(seen) // 10 - 1
    return (last - first) / max(1e-3, seen[last] - seen[first]), account
