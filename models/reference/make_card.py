"""Writes the reference model's card: ``python -m models.reference.make_card``."""

from __future__ import annotations

from models.embedder.card import CARD_FILE, Card, ChipGeometry, Output
from models.embedder.model import REFERENCE
from models.evaluation.calibration import Strangers, curve, share, thresholds

# Measured with this pipeline; see docs/models.md.
STRANGERS = (
    Strangers(0.772, 0.067),  # news photographs among themselves: LFW, 10 people, 4,500 pairs
    Strangers(0.740, 0.075),  # grey pictures of one camera: AT&T faces, 20 people, 19,000 pairs
    Strangers(0.796, 0.070),  # the one against the other, 20,000 pairs
)


def reference_card() -> Card:
    """The card of the reference model."""
    return Card(
        version="dlib-resnet-v1",
        description="dlib's face recognition network (Davis King, public domain) in Keras, its affine layers folded",
        chip=ChipGeometry(size=150, padding=0.25, mean=(122.782, 117.001, 104.298), scale=1 / 256),
        output=Output(dimensions=128, metric="euclidean"),
        fmr_curve=curve(lambda distance: share(STRANGERS, distance)),
        thresholds=thresholds(STRANGERS),
        default_threshold="fmr-1e-3",
        evaluation={
            "lfw_10_people_roc_auc": 0.9997,
            "lfw_10_people_accuracy_at_0.6": 0.9957,
            "att_20_people_roc_auc": 0.9999,
        },
    )


if __name__ == "__main__":
    (REFERENCE / CARD_FILE).write_text(reference_card().model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
