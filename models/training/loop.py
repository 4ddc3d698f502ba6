"""The training loop, the same in one process and in several.

``model.fit`` fails under MultiWorkerMirroredStrategy in Keras 3.15, so the steps are taken here. What a worker draws at
a step depends on seed, step and worker alone: a run that goes on from a checkpoint goes on as if it had not stopped.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from models import runtime
from models.card import Card
from models.training import losses
from models.training.checkpoint import State
from models.training.degrade import TRAINING, degrade
from models.training.network import adapters
from models.training.plan import Material, Plan, Run

_AHEAD = 4
_UNTIMED_STEPS = 3
"""The first steps compile."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: means since the last time, ``validation`` is None where people are not held out."""

    step: int
    steps: int
    loss: float
    validation: float | None
    samples_per_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run: ``digest`` is of the last weights, and is the same on every worker."""

    steps: int
    best_step: int
    validation: float | None
    samples_per_s: float
    digest: str


Say = Callable[[Progress], None]


def train(
    run: Run, card: Card, strategy: Any, *, worker: int = 0, workers: int = 1, say: Say = lambda progress: None
) -> Outcome:
    """Learn until the plan's steps are done or the held-out people get no better; go on from a checkpoint.

    Args:
        run: with network, plan and material; worker 0 writes the checkpoint and what was learned into it.
        card: of the old version: how chips are prepared, and the threshold that the pairwise loss learns at.
        strategy: any of ``tf.distribute``; a replica a device.
        worker: the number of this process.
        workers: how many processes there are.
        say: called at every validation.
    """
    return _Trainer(run, card, strategy, worker, workers).run(say)


class _Trainer:
    def __init__(self, run: Run, card: Card, strategy: Any, worker: int, workers: int) -> None:
        self._tf = runtime.tensorflow()
        self._run, self._plan, self._material = run, run.plan, run.material()
        self._card, self._strategy, self._worker = card, strategy, worker
        self._workers: int = workers
        self._replicas: int = strategy.num_replicas_in_sync
        self._local = self._replicas // workers
        self._threshold = card.distance(1e-2)
        with strategy.scope():
            self._network = keras.models.load_model(run.network, compile=False)
            self._learned = adapters(self._network)
            self._centres = keras.Variable(_centres(self._material), name="centres")
            self._trained = [*self._learned, *([self._centres] if self._plan.arc_face else [])]
            self._optimizer = _optimizer(self._plan, self._replicas)
            self._optimizer.build(self._trained)
        self._step = self._compiled_step()
        self._validation = self._compiled_validation()

    def run(self, say: Say) -> Outcome:
        plan, progress = self._plan, self._run.progress
        state = State.read(self._run.checkpoint) or State.start(self._values(self._trained))
        self._set(self._trained, state.values)
        if state.optimizer:
            self._set(self._optimizer.variables, state.optimizer)
        sums, done, began, timed = 0.0, 0, time.perf_counter(), 0
        with _Feeder(self._material, plan) as feeder:
            for step in range(state.step, plan.steps):
                if done == _UNTIMED_STEPS:
                    began, timed = time.perf_counter(), 0
                parts = feeder.parts(step, self._worker * self._local, self._local)
                loss = self._strategy.run(self._step, args=self._distributed(parts))
                sums += float(self._strategy.reduce("MEAN", loss, axis=None)) if self._replicas > 1 else float(loss)
                done, timed = done + 1, timed + plan.batch * self._replicas
                state.average(self._values(self._trained), plan.averaging)
                last = step + 1 == plan.steps
                if last or (step + 1) % plan.validate_every == 0:
                    state.judged(self._validate(state.averaged))
                    speed = timed / (time.perf_counter() - began)
                    now = Progress(step + 1, plan.steps, sums / done, state.validation, speed)
                    if self._worker == 0:
                        with progress.open("a", encoding="utf-8") as lines:
                            lines.write(json.dumps(asdict(now)) + "\n")
                        say(now)
                stop = last or state.worse >= plan.patience
                if self._worker == 0 and (stop or (step + 1) % plan.checkpoint_every == 0):
                    state.optimizer = self._values(self._optimizer.variables)
                    state.values = self._values(self._trained)
                    state.write(self._run.checkpoint)
                if stop:
                    break
        speed = max(1, timed) / (time.perf_counter() - began)
        if self._worker == 0:
            np.savez(self._run.learned, *state.best[: len(self._learned)])
        return Outcome(state.step, state.best_step, state.best_validation, speed, digest(self._values(self._trained)))

    def _distributed(self, parts: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        if self._local == 1:
            return tuple(self._tf.constant(part) for part in parts[0])
        values = self._strategy.experimental_distribute_values_from_function
        first = self._worker * self._local
        return tuple(
            values(lambda context, at=at: self._tf.constant(parts[context.replica_id_in_sync_group - first][at]))
            for at in range(len(parts[0]))
        )

    def _prepared(self, chips: Any) -> Any:
        return (self._tf.cast(chips, "float32") - self._tf.constant(self._card.chip.mean)) * self._card.chip.scale

    def _compiled_step(self) -> Any:
        tf, plan, material = self._tf, self._plan, self._material
        everyone = tf.constant(material.vectors)
        first, second = tf.constant(material.first), tf.constant(material.second)
        labels = tf.where(tf.equal(first, second), first, -1)
        old_centres = tf.constant(_centres(material))

        def lost(vectors: Any, rows: Any) -> Any:
            wanted = tf.gather(everyone, rows)
            one, other = tf.gather(first, rows)[:, None], tf.gather(second, rows)[:, None]
            alike = (first[None] == one) & (second[None] == other)
            # Of one person in very different pictures the old version's vectors are far apart; they teach nothing.
            genuine = alike & (losses.distances(wanted, everyone) < self._threshold)
            related = (first[None] == one) | (first[None] == other) | (second[None] == one) | (second[None] == other)
            gaps = losses.distances(vectors, everyone)
            loss = plan.distillation * losses.distillation(vectors, wanted)
            if plan.pairwise:
                loss += plan.pairwise * losses.pairwise(
                    gaps, tf.cast(genuine, "float32"), tf.cast(~related, "float32"), self._threshold
                )
            if plan.arc_face:
                loss += plan.arc_face * losses.arc_face(vectors, self._centres, tf.gather(labels, rows))
            if plan.compatibility:
                old = losses.arc_face(vectors, old_centres, tf.gather(labels, rows), margin=0.0)
                loss += plan.compatibility * old
            return tf.reduce_mean(loss)

        def step(chips: Any, rows: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = lost(self._network(self._prepared(chips), training=True), rows)
                part = loss / self._replicas
            self._optimizer.apply(tape.gradient(part, self._trained), self._trained)
            return loss

        return tf.function(step)

    def _compiled_validation(self) -> Any:
        tf, material = self._tf, self._material
        templates = tf.constant(material.held_out_vectors)
        people = tf.constant(material.held_out_people)

        def judged(chips: Any, rows: Any) -> Any:
            vectors = self._network(self._prepared(chips), training=False)
            same = tf.gather(people, rows)[:, None] == people[None]
            gaps = losses.distances(vectors, templates)
            other = tf.cast(tf.range(tf.shape(people)[0])[None] != rows[:, None], "float32")
            genuine, strangers = tf.cast(same, "float32") * other, tf.cast(~same, "float32")
            return tf.reduce_sum(losses.pairwise(gaps, genuine, strangers, self._threshold))

        return tf.function(judged, reduce_retracing=True)

    def _validate(self, values: Sequence[NDArray[np.float32]]) -> float | None:
        """The pairwise loss of the held-out people with these weights; every worker takes a part and has the answer."""
        material, count = self._material, len(self._material.held_out)
        if not count:
            return None
        kept = self._values(self._trained)
        self._set(self._trained, values)
        mine = np.arange(count, dtype=np.int32)[self._worker :: self._workers]
        total = 0.0
        for start in range(0, len(mine), self._plan.batch):
            rows = mine[start : start + self._plan.batch]
            total += float(self._validation(self._tf.constant(material.held_out[rows]), self._tf.constant(rows)))
        self._set(self._trained, kept)
        if self._workers > 1:
            part = self._strategy.run(lambda: self._tf.constant(total, "float32"))
            total = float(self._strategy.reduce("SUM", part, axis=None)) / self._local
        return total / count

    @staticmethod
    def _values(variables: Sequence[Any]) -> list[NDArray[np.float32]]:
        return [np.array(variable) for variable in variables]

    @staticmethod
    def _set(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


class _Feeder:
    """Degrades the faces of the next steps in a thread while this one is computed."""

    def __init__(self, material: Material, plan: Plan) -> None:
        self._material, self._plan = material, plan
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="degrade")
        self._coming: dict[tuple[int, int], Future[tuple[Any, ...]]] = {}

    def __enter__(self) -> _Feeder:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def parts(self, step: int, first: int, count: int) -> list[tuple[Any, ...]]:
        """Chips [batch, size, size, 3] and their rows [batch] for each of this process's replicas."""
        for ahead in range(step, min(step + _AHEAD, self._plan.steps)):
            for replica in range(first, first + count):
                if (ahead, replica) not in self._coming:
                    self._coming[ahead, replica] = self._pool.submit(self._made, ahead, replica)
        return [self._coming.pop((step, replica)).result() for replica in range(first, first + count)]

    def _made(self, step: int, replica: int) -> tuple[Any, ...]:
        random = np.random.default_rng([self._plan.seed, 4, step, replica])
        rows = random.choice(len(self._material.chances), self._plan.batch, p=self._material.chances)
        chips = np.stack([degrade(self._material.chips[row], TRAINING, random) for row in rows.tolist()])
        return chips, rows.astype(np.int32)


def digest(values: Sequence[NDArray[Any]]) -> str:
    """SHA-256 of arrays, to the last bit."""
    whole = hashlib.sha256()
    for value in values:
        whole.update(np.ascontiguousarray(value).tobytes())
    return whole.hexdigest()


def _optimizer(plan: Plan, replicas: int) -> Any:
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if plan.warm_up else plan.learning_rate,
        max(1, plan.steps - plan.warm_up),
        warmup_target=plan.learning_rate if plan.warm_up else None,
        warmup_steps=plan.warm_up,
    )
    # Every worker clips its part before the parts are added: the sum is within the norm.
    return keras.optimizers.Adam(rate, global_clipnorm=plan.clip_norm / replicas)


def _centres(material: Material) -> NDArray[np.float32]:
    """The mean of the old version's vectors of each person [k, d]."""
    single = material.first == material.second
    people = material.first[single]
    sums = np.zeros((int(people.max()) + 1, material.vectors.shape[1]), np.float32)
    np.add.at(sums, people, material.vectors[single])
    counts = np.maximum(np.bincount(people, minlength=len(sums)), 1).astype(np.float32)
    return np.asarray(sums / counts[:, None], np.float32)
