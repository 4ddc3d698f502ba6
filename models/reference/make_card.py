"""Writes the cards of the reference models: ``python -m models.reference.make_card``."""

from __future__ import annotations

from models.embedder.card import CARD_FILE, Card, ChipGeometry, Output
from models.embedder.references import Reference
from models.evaluation.calibration import Strangers, curve, share, thresholds

# Measured with this pipeline; see docs/models.md.
STRANGERS = {
    Reference.FAST: (
        Strangers(0.772, 0.067),  # news photographs among themselves: LFW, 10 people, 4,500 pairs
        Strangers(0.740, 0.075),  # grey pictures of one camera: AT&T faces, 20 people, 19,000 pairs
        Strangers(0.796, 0.070),  # the one against the other, 20,000 pairs
    ),
    Reference.ACCURATE: (
        Strangers(1.322, 0.063),  # news photographs among themselves, 4,500 pairs
        Strangers(1.352, 0.076),  # grey pictures of one camera, 19,000 pairs
        Strangers(1.398, 0.064),  # the one against the other, 20,000 pairs
        Strangers(1.356, 0.063),  # faces of different group photographs, 1,840 pairs
        Strangers(1.355, 0.063),  # faces of group photographs against news photographs, 6,700 pairs
        Strangers(1.399, 0.063),  # faces of group photographs against grey pictures, 13,400 pairs
    ),
}


def reference_card(reference: Reference) -> Card:
    """The card of a reference model."""
    strangers = STRANGERS[reference]
    if reference is Reference.ACCURATE:
        return Card(
            version="sface-2021dec",
            description="SFace of the OpenCV Zoo (Zhong et al., Apache 2.0) in Keras, its normalisations folded",
            network="sface",
            chip=ChipGeometry(size=112, frame="arcface", mean=(127.5, 127.5, 127.5), scale=1 / 128),
            output=Output(dimensions=128, metric="cosine"),
            fmr_curve=curve(lambda distance: share(strangers, distance)),
            thresholds=thresholds(strangers),
            default_threshold="fmr-1e-3",
            extrapolated=("fmr-1e-5", "fmr-1e-6"),
            evaluation={
                "impostor_pairs": 65_440,
                "lfw_10_people_roc_auc": 1.0,
                "lfw_10_people_tar_at_far_1e-4": 0.9978,
            },
        )
    return Card(
        version="dlib-resnet-v1",
        description="dlib's face recognition network (Davis King, public domain) in Keras, its affine layers folded",
        chip=ChipGeometry(size=150, padding=0.25, mean=(122.782, 117.001, 104.298), scale=1 / 256),
        output=Output(dimensions=128, metric="euclidean"),
        fmr_curve=curve(lambda distance: share(strangers, distance)),
        thresholds=thresholds(strangers),
        default_threshold="fmr-1e-3",
        evaluation={
            "lfw_10_people_roc_auc": 0.9997,
            "lfw_10_people_accuracy_at_0.6": 0.9957,
            "att_20_people_roc_auc": 0.9999,
        },
    )


if __name__ == "__main__":
    for reference in Reference:
        text = reference_card(reference).model_dump_json(indent=1, exclude_none=True, exclude_defaults=True)
        (reference.folder / CARD_FILE).write_text(text + "\n", "utf-8")
