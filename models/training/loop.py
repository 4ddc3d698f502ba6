"""The training loop, the same in one process and in several.

``model.fit`` fails under MultiWorkerMirroredStrategy in Keras 3.15, so the loop is written out here. What a worker
draws at a step depends only on the seed, the step and the worker, so a run that resumes from a checkpoint continues as
if it had not stopped. Workers synchronise once per step, to sum their gradients; each averages the weights by itself.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from keras import ops
from numpy.typing import NDArray

from models.embedder import runtime
from models.embedder.card import Card
from models.evaluation.comparisons import FAR
from models.training import losses
from models.training.checkpoint import State
from models.training.feeder import Feeder, Part
from models.training.history import History, TrainingProgress
from models.training.network import compute_in, learnable
from models.training.plan import Material, Run, TrainingPlan
from models.training.samples import NOBODY
from models.training.validation import ValidationResult

_UNTIMED_STEPS = 3
"""The first steps are not timed, because they compile."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run; ``digest`` is the SHA-256 of the last weights, the same on every worker."""

    steps: int
    best_step: int
    validation: float | None
    samples_per_s: float
    digest: str


Say = Callable[[TrainingProgress], None]


def train(
    run: Run, card: Card, strategy: Any, *, worker: int = 0, workers: int = 1, say: Say = lambda progress: None
) -> Outcome:
    """Train until the plan's steps are done or validation stops improving; resume from a checkpoint if there is one.

    Args:
        run: holds network, plan and material; worker 0 writes the checkpoint and the trained variables to it.
        card: the card of the old version: how to prepare chips, and the threshold of the pairwise loss.
        strategy: a ``tf.distribute`` strategy with one replica per device.
        worker: the number of this process.
        workers: the number of processes.
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
        self._threshold = card.distance(FAR)
        with strategy.scope():
            self._network = keras.models.load_model(run.network, compile=False)
            compute_in(self._network, self._plan.precision)
            self._learned = learnable(self._network)
            self._centres = keras.Variable(_centres(self._material), name="centres")
            self._trained = [*self._learned, *([self._centres] if self._plan.arc_face else [])]
            self._averaged = [self._tf.Variable(variable, trainable=False) for variable in self._trained]
            self._optimizer = _optimizer(self._plan, self._replicas)
            self._optimizer.build(self._trained)
        self._step = self._compiled_step()
        self._embed = self._tf.function(
            lambda chips: self._network(self._prepared(chips), training=False),
            autograph=False,
            input_signature=[self._tf.TensorSpec([None, *self._material.chips.shape[1:]], "uint8")],
        )

    def run(self, say: Say) -> Outcome:
        plan, history = self._plan, History(self._run) if self._worker == 0 else None
        state = State.read(self._run.checkpoint) or State.start(self._values(self._trained))
        self._set(self._trained, state.values)
        self._set(self._averaged, state.averaged)
        if state.optimizer:
            self._set(self._optimizer.variables, state.optimizer)
        lost: list[Any] = []
        timed, seconds, speed = 0, 0.0, 0.0
        with Feeder(self._material, plan) as feeder:
            for done, step in enumerate(range(state.step, plan.steps), 1):
                if state.worse >= plan.patience:
                    break
                began = time.perf_counter()
                parts = feeder.parts(step, self._worker * self._local, self._local)
                lost.append(self._step(*self._distributed(parts)))
                if done > _UNTIMED_STEPS:
                    timed, seconds = timed + 1, seconds + time.perf_counter() - began
                state.step, last = step + 1, step + 1 == plan.steps
                speed = plan.batch * self._replicas * timed / max(seconds, 1e-9)
                if last or state.step % plan.validate_every == 0:
                    result, loss = self._validate(state), self._mean(lost)
                    lost = []
                    if history:
                        validation, tar = (result.loss, result.tar) if result else (None, None)
                        history.add(now := TrainingProgress(state.step, plan.steps, loss, validation, tar, speed))
                        say(now)
                stop = last or state.worse >= plan.patience
                if self._worker == 0 and (stop or state.step % plan.checkpoint_every == 0):
                    state.optimizer = self._values(self._optimizer.variables)
                    state.values, state.averaged = self._values(self._trained), self._values(self._averaged)
                    state.write(self._run.checkpoint)
        if self._worker == 0:
            np.savez(self._run.learned, *state.best[: len(self._learned)])
        end = digest(self._values(self._trained))
        return Outcome(state.step, state.best_step, state.best_validation, speed, end)

    def _distributed(self, parts: Sequence[Part]) -> tuple[Any, ...]:
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
        never = tf.constant(material.never)
        corrects = bool(plan.corrections and (material.never != NOBODY).any())

        def taken_wrongly(rows: Any) -> Any:
            """Whether one of two faces was mistaken for the person in the other [batch, n]."""
            who, not_who = tf.gather(labels, rows)[:, None], tf.gather(never, rows)[:, None]
            return ((not_who == labels) & (not_who >= 0)) | ((who == never) & (who >= 0))

        def lost(vectors: Any, rows: Any) -> Any:
            wanted = tf.gather(everyone, rows)
            loss = plan.distillation * losses.distillation(vectors, wanted)
            gaps = losses.distances(vectors, everyone)
            genuine = losses.distances(wanted, everyone) < self._threshold
            if corrects:
                wrong = taken_wrongly(rows)
                genuine &= ~wrong
                # The old version's vector of such a face was wrong, so it is no target.
                loss = tf.where(tf.gather(never, rows) >= 0, 0.0, loss)
                loss += plan.corrections * losses.apart(gaps, tf.cast(wrong, "float32"), self._threshold)
            if plan.pairwise:
                loss += plan.pairwise * losses.pairwise(
                    gaps, tf.cast(genuine, "float32"), tf.cast(~genuine, "float32"), self._threshold
                )
            if plan.arc_face:
                loss += plan.arc_face * losses.arc_face(vectors, self._centres, tf.gather(labels, rows))
            if plan.compatibility:
                old = losses.arc_face(vectors, old_centres, tf.gather(labels, rows), margin=0.0)
                loss += plan.compatibility * old
            return tf.reduce_mean(loss)

        def learn(chips: Any, rows: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = lost(self._network(self._prepared(chips), training=True), rows)
                part = loss / self._replicas
            self._optimizer.apply(tape.gradient(part, self._trained), self._trained)
            return loss

        def step(chips: Any, rows: Any) -> Any:
            loss = self._strategy.run(learn, args=(chips, rows))
            # A plain mean at first, then an exponential one. All replicas have the same weights, so they need not
            # communicate.
            taken = tf.cast(self._optimizer.iterations, "float32")
            keep = tf.minimum(plan.averaging, taken / (taken + 9))
            for mean, variable in zip(self._averaged, self._trained, strict=True):
                self._strategy.extended.update(
                    mean, lambda mean, new: mean.assign(keep * mean + (1 - keep) * new), args=(variable.value,)
                )
            return loss

        # No code here branches on a tensor, and autograph would leave temporary files if a worker is killed.
        return tf.function(step, autograph=False)

    def _validate(self, state: State) -> ValidationResult | None:
        """Validate the averaged weights. Every worker embeds a part of the faces, and gets the whole result."""
        faces, batch = self._material.held_out, self._plan.batch
        kept, averaged = self._values(self._trained), self._values(self._averaged)
        result = None
        if len(faces):
            self._set(self._trained, averaged)
            vectors = np.zeros((len(faces), self._card.output.dimensions), np.float32)
            mine = np.arange(len(faces))[self._worker :: self._workers]
            for rows in (mine[start : start + batch] for start in range(0, len(mine), batch)):
                vectors[rows] = self._embed(self._tf.constant(faces[rows])).numpy()
            self._set(self._trained, kept)
            result = ValidationResult.of(self._over_workers(vectors), self._material.held_out_people)
        state.keep_if_best(averaged, result.loss if result else None)
        return result

    def _mean(self, lost: Sequence[Any]) -> float:
        """The mean loss of some steps over all replicas."""
        mine = [float(part) for loss in lost for part in self._strategy.experimental_local_results(loss)]
        return float(self._over_workers(np.array(sum(mine), np.float32))) / (len(lost) * self._replicas)

    def _over_workers(self, mine: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sum over all workers; all of them must call this."""
        if self._workers == 1:
            return mine
        part = self._strategy.run(lambda: self._tf.constant(mine))
        return np.asarray(self._strategy.reduce("SUM", part, axis=None), np.float32) / np.float32(self._local)

    @staticmethod
    def _values(variables: Sequence[Any]) -> list[NDArray[np.float32]]:
        return [np.array(ops.convert_to_numpy(variable)) for variable in variables]

    @staticmethod
    def _set(variables: Sequence[Any], values: Sequence[NDArray[Any]]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def digest(values: Sequence[NDArray[Any]]) -> str:
    """The SHA-256 of the bytes of all arrays."""
    whole = hashlib.sha256()
    for value in values:
        whole.update(np.ascontiguousarray(value).tobytes())
    return whole.hexdigest()


def _optimizer(plan: TrainingPlan, replicas: int) -> Any:
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if plan.warm_up else plan.learning_rate,
        max(1, plan.steps - plan.warm_up),
        warmup_target=plan.learning_rate if plan.warm_up else None,
        warmup_steps=plan.warm_up,
    )
    # Every worker clips its part before the parts are summed, so the sum stays within the norm.
    return keras.optimizers.Adam(rate, global_clipnorm=plan.clip_norm / replicas)


def _centres(material: Material) -> NDArray[np.float32]:
    """The mean of the old version's vectors of each person, [k, d]."""
    single = (material.first == material.second) & (material.first != NOBODY)
    people = material.first[single]
    sums = np.zeros((int(people.max()) + 1, material.vectors.shape[1]), np.float32)
    np.add.at(sums, people, material.vectors[single])
    counts = np.maximum(np.bincount(people, minlength=len(sums)), 1).astype(np.float32)
    return np.asarray(sums / counts[:, None], np.float32)
