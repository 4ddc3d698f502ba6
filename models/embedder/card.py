"""The model card: a model's input and output, what its distances mean, and how it was trained and measured."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

CARD_FILE = "card.json"


class UnusableModel(RuntimeError):
    """A model folder whose card or weights cannot be used; the message says why."""


class UnknownThreshold(ValueError):
    """The card has no threshold set of this name; the message lists those that it has."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Cut = tuple[str, int, float]
"""Frame, size and padding of a chip."""


class ChipGeometry(_Part):
    """The aligned face that the model takes: a square of RGB pixels, 0 to 255, in which landmarks have fixed places."""

    size: int = Field(ge=16, le=1024, description="Rows and columns in pixels.")
    padding: float = Field(0, ge=0, le=2, description="Margin around the frame, in widths of the frame.")
    frame: Literal["dlib", "arcface"] = Field(
        "dlib",
        description="Where the landmarks are. dlib: the corners of the eyes and the nose, as in dlib's mean face. "
        "arcface: eyes, nose and corners of the mouth, as in ArcFace's template.",
    )
    mean: tuple[float, float, float] = Field((0, 0, 0), description="Subtracted from red, green and blue.")
    scale: float = Field(1, gt=0, description="Multiplies what is left.")

    @property
    def cut(self) -> Cut:
        """What decides which pixels of a picture are in a chip; geometries with the same cut share their chips."""
        return self.frame, self.size, self.padding


class Output(_Part):
    """The vector that the model computes."""

    dimensions: int = Field(ge=1, description="Length of the vector.")
    metric: Literal["euclidean", "cosine"] = Field(
        description="How vectors are compared. cosine: they are scaled to length 1 first; the distance stays Euclidean."
    )


class Weights(_Part):
    """Where the weights are."""

    file: str = Field(description="Keras SavedModel folder or .keras file, beside the card.")
    sha256: str | None = Field(None, description="Of the .keras file; checked when given.")


class Measured(_Part):
    """TAR at FAR 1e-2 of the parent and of this version, on people outside the training set, with 95 % intervals."""

    before: float
    after: float
    interval: tuple[float, float] = Field(description="Of ``after``.")
    gain: float = Field(description="``after`` less ``before``.")
    gain_interval: tuple[float, float]


class Shift(_Part):
    """An error rate of the parent and of this version, each at its distance for a false-match rate of 1 %."""

    before: float
    after: float
    interval: tuple[float, float] = Field(description="Of ``after``, 95 %.")
    change_interval: tuple[float, float] = Field(description="Of ``after`` less ``before``, 95 %: above 0 is worse.")

    @property
    def change(self) -> float:
        """``after`` less ``before``."""
        return self.after - self.before


class GroupMeasured(_Part):
    """The verification errors of one group of people or one camera, outside the training set."""

    by: str = Field(description="Dimension, such as camera.")
    group: str = Field(description="Name of the group.")
    pictures: str = Field(description="Their kind.")
    people: int = Field(ge=1)
    genuine_pairs: int = Field(ge=1)
    impostor_pairs: int = Field(ge=0, description="Strangers within the group.")
    fnmr: Shift
    fmr: Shift | None = Field(None, description="Unset: no two strangers were compared.")


class Rate(_Part):
    """TAR at one FAR, with its 95 % interval over people."""

    tar: float
    interval: tuple[float, float]
    extrapolated: bool = Field(False, description="Too few strangers were compared to see this FAR.")


class Scores(_Part):
    """A version's verification accuracy on one kind of pictures, for people outside the training set."""

    genuine_pairs: int = Field(ge=1)
    impostor_pairs: int = Field(ge=1)
    tar_at_far: dict[str, Rate]
    roc: tuple[tuple[float, float], ...] = Field(description="FAR and TAR, both increasing.")
    distances: tuple[tuple[float, float, float], ...] = Field(
        description="Upper end of a bin of distances, share of the genuine pairs in it, and of the impostor pairs."
    )


class Validated(_Part):
    """A step of a training, and its verification accuracy for people outside the training set."""

    step: int = Field(ge=1)
    loss: float = Field(description="Mean training loss since the validation before.")
    validation: float | None = Field(None, description="Pairwise loss of held-out people; unset: nobody is held out.")
    tar: float | None = Field(None, description="TAR at FAR 1e-2 of held-out people, degraded against clean.")


class Source(_Part):
    """The source of a training's faces: topics up to fixed offsets, or folders of pictures."""

    offsets: dict[str, dict[int, int]] = Field({}, description="Where reading ended, by topic and partition.")
    folders: tuple[str, ...] = ()


class Lineage(_Part):
    """The lineage of a trained version. The same parent, data and settings give the same version again."""

    parent: str = Field(description="Version that it was trained from.")
    mode: Literal["head", "full"]
    people: int = Field(ge=0, description="People in the training set, including those held out for early stopping.")
    chips: int = Field(ge=0, description="Faces of these people.")
    people_tested: int = Field(ge=0, description="People that it was measured on, none of them in the training set.")
    chips_tested: int = Field(0, ge=0, description="Faces of these people.")
    corrections: int = Field(0, ge=0, description="Corrected faces in the training set.")
    source: Source = Field(Source(), description="The same offsets give the same digest, unless consents have ended.")
    digest: str = Field(description="SHA-256 of the training set: event ids, people and faces.")
    seed: int = 0
    settings: dict[str, float | int | str] = Field({}, description="Of the training.")
    history: tuple[Validated, ...] = Field((), description="The validations of a full training, in order.")
    measured: dict[str, Measured] = Field({}, description="By the kind of pictures.")
    groups: tuple[GroupMeasured, ...] = Field((), description="Errors of the groups and cameras that are known.")
    latency_ratio: float | None = Field(None, description="Time to embed a face, relative to the parent's.")


class Card(_Part):
    """One model version. ``fmr_curve`` lists distances with their false-match rates, both increasing."""

    version: str = Field(min_length=1, description="Name of the model version, on every template and result.")
    description: str = Field("", description="Where it comes from, for people to read.")
    weights: Weights | None = Field(None, description="Unset: the weights of a reference network.")
    network: Literal["dlib", "sface"] = Field("dlib", description="Which reference network, if `weights` is unset.")
    chip: ChipGeometry
    output: Output
    fmr_curve: tuple[tuple[float, float], ...] = Field(min_length=2)
    thresholds: dict[str, float] = Field(min_length=1, description="Threshold sets: name to largest distance.")
    default_threshold: str
    extrapolated: tuple[str, ...] = Field((), description="Threshold sets that too few pairs were measured for.")
    evaluation: dict[str, float | int | str] = Field({}, description="Other measurements, for people to read.")
    scores: dict[str, Scores] = Field({}, description="By the kind of pictures.")
    lineage: Lineage | None = Field(None, description="Unset: this version was not trained here.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for (d0, f0), (d1, f1) in zip(self.fmr_curve, self.fmr_curve[1:], strict=False):
            if not (0 <= d0 < d1 and 0 < f0 <= f1 <= 1):
                raise ValueError(f"fmr_curve must increase in distance and rate: {d0, f0} before {d1, f1}")
        if self.default_threshold not in self.thresholds:
            raise ValueError(f"default_threshold {self.default_threshold!r} is not among the thresholds")
        return self

    @classmethod
    def read(cls, folder: Path) -> Card:
        """Read ``card.json`` in a folder.

        Raises:
            UnusableModel: it is absent, or a field is invalid; the message names the field.
        """
        path = folder / CARD_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise UnusableModel(f"no model card at {path}: {error.strerror}") from error
        except ValidationError as error:
            raise UnusableModel(f"{path} is not a model card: {error}") from error

    def threshold(self, name: str | None = None) -> float:
        """The distance below which two faces match, for a threshold set; None: the default set.

        Raises:
            UnknownThreshold: the card has no such set.
        """
        try:
            return self.thresholds[name or self.default_threshold]
        except KeyError:
            names = ", ".join(self.thresholds)
            raise UnknownThreshold(f"no threshold set {name!r} in {self.version}, but {names}") from None

    def fmr(self, distance: float) -> float:
        """The false-match rate at a distance, 0 to 1."""
        distances, log_rates = self._curve
        return math.exp(_interpolated(distances, log_rates, distance))

    def distance(self, fmr: float) -> float:
        """The distance with a false-match rate, limited to the ends of the curve."""
        distances, log_rates = self._curve
        return _interpolated(log_rates, distances, math.log(max(fmr, 1e-300)))

    def similarity(self, distance: float) -> float:
        """The similarity for a distance: 1 at distance 0, falling linearly to 0 at a false-match rate of one half."""
        return max(0.0, 1.0 - distance / self._strangers)

    @cached_property
    def _curve(self) -> tuple[list[float], list[float]]:
        return [d for d, _ in self.fmr_curve], [math.log(rate) for _, rate in self.fmr_curve]

    @cached_property
    def _strangers(self) -> float:
        return self.distance(0.5)


def _interpolated(xs: list[float], ys: list[float], x: float) -> float:
    """Interpolate linearly between increasing points; constant beyond the ends, the first y where x repeats."""
    if x <= xs[0]:
        return ys[0]
    if x >= xs[-1]:
        return ys[bisect_left(xs, xs[-1])]
    right = bisect_right(xs, x)
    x0, x1 = xs[right - 1], xs[right]
    return ys[right - 1] + (ys[right] - ys[right - 1]) * (x - x0) / (x1 - x0)
