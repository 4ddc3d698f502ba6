from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageOps

from models.analysis import chips
from models.analysis.aligner import Aligner
from models.analysis.finder import FaceFinder
from models.analysis.realigner import Realigner
from models.embedder.card import Card, ChipGeometry
from models.embedder.model import Model
from models.embedder.references import ACCURATE, FAST, Reference
from models.pictures.decoder import Raster, decode
from models.pictures.geometry import Pixels, Points
from tests.models.analysis.side_views import from_the_side
from tests.models.conftest import Photo
from tests.models.sample_pictures import opened

GEOMETRIES = {reference: Card.read(reference.folder).chip for reference in Reference}


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


def seen(photo: Photo, name: str, finder: FaceFinder) -> tuple[Pixels, dict[Reference, Points]]:
    raster = decode(photo(name), max_bytes=10**8, max_pixels=10**8)
    assert isinstance(raster, Raster)
    [face] = finder.find(raster.pixels)
    return raster.pixels, {one: Aligner(geometry).points(face.landmarks) for one, geometry in GEOMETRIES.items()}


@pytest.mark.parametrize(("folder", "given"), [(ACCURATE, Reference.FAST), (FAST, Reference.ACCURATE)])
def test_a_chip_of_another_geometry_still_shows_who_it_is(
    photo: Photo, finder: FaceFinder, folder: object, given: Reference
) -> None:
    wanted = Reference.ACCURATE if folder is ACCURATE else Reference.FAST
    model = Model.load(wanted.folder)
    threshold, vectors = model.card.threshold(), {}
    for name in ("obama", "obama2", "biden"):
        picture, points = seen(photo, name, finder)
        native = Aligner(GEOMETRIES[wanted]).align(picture, points[wanted])
        kept = chips.decode(chips.encode(Aligner(GEOMETRIES[given]).align(picture, points[given])))
        assert kept is not None
        again = Realigner(GEOMETRIES[wanted]).from_chip(kept, GEOMETRIES[given])
        assert again is not None and again.shape == native.shape
        vectors[name], vectors[f"{name} again"] = model.embed(np.stack([native, again]))

    def apart(one: str, other: str) -> float:
        return float(np.linalg.norm(vectors[one] - vectors[other]))

    for name in ("obama", "obama2", "biden"):
        assert apart(name, f"{name} again") < 0.6 * threshold
    assert apart("obama2", "obama again") < threshold < apart("obama2", "biden again")


@pytest.mark.parametrize("name", ["obama3", "biden"])
def test_a_face_that_is_turned_aside_is_cut_as_it_was_found(photo: Photo, finder: FaceFinder, name: str) -> None:
    if finder._profiles is None:
        pytest.skip("OpenVINO is not installed")
    picture = from_the_side(finder, ImageOps.mirror(opened(photo(name))), 50)
    [face] = finder.find(picture)
    assert abs(face.landmarks.yaw) > 25
    aligner = Aligner(GEOMETRIES[Reference.ACCURATE])
    native = aligner.align(picture, aligner.points(face.landmarks))
    again = Realigner(GEOMETRIES[Reference.ACCURATE]).from_picture(picture, face.landmarks.points)
    assert again is not None
    model = Model.load(ACCURATE)
    found, cut = model.embed(np.stack([native, again]))
    assert np.linalg.norm(found - cut) < 0.6 * model.card.threshold(), "with the mesh's points it was 0.9 times"


def test_landmarks_in_the_picture_are_enough(photo: Photo, finder: FaceFinder) -> None:
    picture, points = seen(photo, "obama", finder)
    for wanted, geometry in GEOMETRIES.items():
        native = Aligner(geometry).align(picture, points[wanted])
        again = Realigner(geometry).from_picture(picture, points[Reference.FAST])
        assert again is not None
        assert np.abs(again.astype(int) - native).mean() < 8, "of 256"


def test_a_chip_of_the_same_geometry_is_taken_as_it_is() -> None:
    chip = np.zeros((112, 112, 3), np.uint8)
    other_values = GEOMETRIES[Reference.ACCURATE].model_copy(update={"scale": 2.0})
    assert Realigner(other_values).from_chip(chip, GEOMETRIES[Reference.ACCURATE]) is chip


@pytest.mark.parametrize("size", [150, 64])
def test_without_a_face_there_is_no_chip(size: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)
    assert Realigner(GEOMETRIES[Reference.ACCURATE]).from_chip(noise, ChipGeometry(size=size, padding=0.25)) is None
