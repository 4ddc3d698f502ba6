"""The plan of a run, and its folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.pictures.geometry import Pixels


class TrainingPlan(BaseModel):
    """The settings of one run. The same plan, data and number of workers give the same weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    steps: int = Field(300, ge=1, description="Most steps; early stopping may end the run before.")
    batch: int = Field(32, ge=1, description="Faces per worker and step.")
    bases: int = Field(3000, ge=0, description="Fewest clean faces: the chips, and mixtures of them.")
    clean: float = Field(0.25, ge=0, le=1, description="Share of the faces of a step that are not degraded.")
    precision: Literal["float32", "mixed_bfloat16"] = Field("float32", description="Dtype policy of the convolutions.")
    learning_rate: float = Field(3e-4, gt=0, description="Learning rate after the warm-up; it then decays to 0.")
    warm_up: int = Field(30, ge=0, description="Steps in which the learning rate rises from 0.")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of a step's gradient over all workers.")
    distillation: float = Field(1.0, ge=0, description="Weight of the distance to the clean picture's vector.")
    pairwise: float = Field(0.1, ge=0, description="Weight of the pairwise loss.")
    corrections: float = Field(0.1, ge=0, description="Weight of corrected pairs.")
    arc_face: float = Field(0.0, ge=0, description="Weight of the angular-margin loss over people.")
    compatibility: float = Field(0.0, ge=0, description="Weight of the loss against the old version's people.")
    averaging: float = Field(0.99, ge=0, lt=1, description="Decay of the exponential mean of the weights.")
    validate_every: int = Field(50, ge=1, description="Steps between validations.")
    patience: int = Field(4, ge=1, description="Validations without improvement before the run stops.")
    checkpoint_every: int = Field(50, ge=1, description="Steps between checkpoints.")


@dataclass(frozen=True, slots=True)
class Material:
    """The data of a run: faces to train on (see :class:`models.training.bases.Bases`), and faces for early stopping.

    ``vectors`` [n, d] are the old version's vectors of ``chips``, after the network was prepared for training.
    """

    chips: Pixels
    vectors: NDArray[np.float32]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    never: NDArray[np.int32]
    chances: NDArray[np.float64]
    held_out: Pixels
    """Faces of held-out people [(1 + views) · v, size, size, 3]: the clean ones, then degraded views of all of them,
    view by view; may be empty."""
    held_out_people: NDArray[np.int32]
    """The number of the person in each clean held-out face [v]."""


@dataclass(frozen=True, slots=True)
class Run:
    """A folder with the files that the workers of a run share."""

    folder: Path

    @property
    def network(self) -> Path:
        """The network before the first step."""
        return self.folder / "network.keras"

    @property
    def checkpoint(self) -> Path:
        """The checkpoint from which a run resumes after a worker was lost."""
        return self.folder / "checkpoint.npz"

    @property
    def progress(self) -> Path:
        """The progress file, with one :class:`models.training.history.TrainingProgress` per line, as JSON."""
        return self.folder / "progress.jsonl"

    @property
    def board(self) -> Path:
        """The folder of the log for TensorBoard."""
        return self.folder / "board"

    @property
    def learned(self) -> Path:
        """The trained variables, in the order of ``network.learnable``."""
        return self.folder / "learned.npz"

    def result(self, worker: int) -> Path:
        """The result file of a worker."""
        return self.folder / f"result-{worker}.json"

    def log(self, worker: int) -> Path:
        """The file with a worker's stderr."""
        return self.folder / f"worker-{worker}.log"

    @property
    def plan(self) -> TrainingPlan:
        """Read the plan."""
        return TrainingPlan.model_validate_json((self.folder / "plan.json").read_bytes())

    @property
    def is_prepared(self) -> bool:
        """Whether all files that the workers need exist; the network is written last."""
        return self.network.exists()

    def write(self, plan: TrainingPlan, material: Material) -> Self:
        """Empty the folder, and store plan and material in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "plan.json").write_text(plan.model_dump_json(indent=1), "utf-8")
        for name in Material.__slots__:
            np.save(self.folder / f"{name}.npy", getattr(material, name))
        return self

    def material(self) -> Material:
        """Map the material into memory, which the workers of one machine share."""
        return Material(**{name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in Material.__slots__})
