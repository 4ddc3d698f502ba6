"""The page of a card, read as a browser would: what is on it, and that it asks for nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from models.embedder.card import Card, GroupMeasured, Lineage, Shift, Source, Validated, Weights
from models.embedder.references import FAST
from models.evaluation.comparisons import Comparisons
from models.evaluation.discard import DISCARD_FILE, DiscardCurve
from models.report.page import page
from models.training import publish
from models.training.scoring import scored

PARENT = Card.read(FAST)
LOADS = {"script", "link", "img", "iframe", "object", "embed", "base", "form"}


class Read(HTMLParser):
    """Texts, and the tags and attributes through which a page would load something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.plots = 0
        self.loads: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.plots += tag == "svg"
        self.loads += [tag] if tag in LOADS else []
        self.loads += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value[:1] != "#"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def trained(**changed: object) -> Card:
    random = np.random.default_rng(0)
    people = np.repeat(np.arange(8, dtype=np.int32), 6)
    faces = random.normal(0, 0.06, (8, 128))[people] + random.normal(0, 0.02, (len(people), 128))
    compared = Comparisons.of(faces.astype(np.float32), faces.astype(np.float32), people)
    made = {
        "parent": PARENT.version,
        "mode": "full",
        "people": 21,
        "chips": 210,
        "people_tested": 8,
        "chips_tested": 48,
        "digest": "f00d" * 16,
        "source": Source(offsets={"chips": {0: 1234, 1: 987}}),
        "settings": {"steps": 300},
        "history": (Validated(step=50, loss=0.4, validation=1.1, tar=0.8), Validated(step=100, loss=0.3)),
        "measured": {"clean": publish.measured(compared, compared)},
        "latency_ratio": 1.04,
    }
    strangers = {"clean": (compared.strangers(), compared.strangers())}
    lineage = Lineage.model_validate(made | changed)
    return publish.described("v2", PARENT, lineage, strangers, {"clean": scored(compared, 0)})


def test_a_trained_version_shows_all_that_its_card_has(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"0" * 2_300_000)
    card = trained().model_copy(update={"weights": Weights(file="model.keras", sha256="cafe" * 16)})
    read = Read(page(card, tmp_path))
    for fact in (
        "v2",
        "2.3 MB",
        "cafe" * 16,
        "1.04 times that of dlib-resnet-v1",
        "fmr-1e-3 (default)",
        "fmr-1e-5 0.",
        "extrapolated",
        "210 faces of 21 people",
        "48 faces of 8 other people",
        "topic chips, partition 0 up to offset 1234, partition 1 up to offset 987",
        "f00d" * 16,
        "steps 300",
        "This version must not take over: it is not better in any measurement",
    ):
        assert fact in read.text, fact
    rate = card.scores["clean"].tar_at_far["1e-4"]
    assert f"1e-4 {rate.tar:.3f} {rate.interval[0]:.3f} to {rate.interval[1]:.3f} extrapolated" in read.text
    assert read.plots == 4, "false matches, ROC, distances, and the course"
    for label in ("TAR at FAR 1e-2", "validation loss", "genuine", "impostor", "default threshold"):
        assert label in read.texts, label


def test_the_curve_beside_the_card_is_on_the_page(tmp_path: Path) -> None:
    assert "Error versus discard" not in Read(page(trained(), tmp_path)).text
    curve = DiscardCurve(pictures="ten cameras", fmr=1e-3, fnmr=tuple(0.3 - n / 100 for n in range(31)), gain=0.5)
    (tmp_path / DISCARD_FILE).write_text(curve.model_dump_json())
    read = Read(page(trained(), tmp_path))
    assert read.plots == 5
    for fact in ("Error versus discard", "Measured on ten cameras", "it gains 50 %"):
        assert fact in read.text, fact
    assert {"by quality", "at random"} <= set(read.texts)


def test_a_version_made_elsewhere_says_what_is_not_known() -> None:
    read = Read(page(PARENT, FAST))
    assert read.plots == 2, "false matches, and errors without the worst pictures"
    assert "lfw_10_people_roc_auc 0.9997" in read.text
    assert "not trained here" in read.text
    assert "no ROC curve" in read.text
    assert "no parent and no training set" in read.text


def test_a_training_without_a_course_or_a_source_says_so() -> None:
    read = Read(page(trained(history=(), source=Source()), FAST))
    assert "no course of the training" in read.text
    assert "read from not on the card" in read.text


def test_groups_are_on_the_page() -> None:
    assert "no camera or group" in Read(page(trained(), FAST)).text.lower()
    worse = Shift(before=0.1, after=0.4, interval=(0.3, 0.5), change_interval=(0.2, 0.4))
    group = GroupMeasured(
        by="camera", group="<door>", pictures="clean", people=5, genuine_pairs=31, impostor_pairs=0, fnmr=worse
    )
    read = Read(page(trained(groups=(group,)), FAST))
    assert "camera <door> clean 5 31 0.100 0.400 0.300 to 0.500 0 no strangers" in read.text
    assert "for camera <door> it is worse beyond its interval on clean pictures" in read.text


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = page(trained(), FAST)
    assert Read(html).loads == []
    # Names of XML's vocabularies, which nothing follows.
    assert set(re.findall(r"""https?://[^"'<> )]+""", html)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in html


def test_what_a_card_says_cannot_become_markup() -> None:
    card = PARENT.model_copy(update={"version": "<script>alert(1)</script>", "description": "a & b"})
    read = Read(page(card, FAST))
    assert read.loads == []
    assert "<script>alert(1)</script>" in read.text


def test_the_same_card_gives_the_same_page() -> None:
    assert page(trained(), FAST) == page(trained(), FAST)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_weights_are_weighed(tmp_path: Path, kind: str) -> None:
    part = tmp_path / "weights" / "variables" if kind == "folder" else tmp_path / "weights"
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(b"0" * 1_500_000)
    card = PARENT.model_copy(update={"weights": Weights(file="weights")})
    assert "weights, 1.5 MB" in Read(page(card, tmp_path)).text
