"""Files of vectors: what goes in comes out, and what cannot be true is refused with the row and the reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.embedder.card import Output
from schemas.clock import utc_now
from schemas.gallery import Template
from schemas.ingest import Consent
from schemas.parts import UNMEASURED, Quality, Source
from streams.operations.vector_files import file as vector_file
from streams.operations.vector_files.columns import UnusableVectors
from tests.streams.matching.galleries import card

PLAIN = card("one")
COSINE = card("two").model_copy(update={"output": Output(dimensions=2, metric="cosine")})
KINDS = pytest.mark.parametrize("suffix", vector_file.SUFFIXES)
NOW = datetime(2025, 6, 1, 12, 0, 0, 123456, UTC)

_floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
_times = st.datetimes(datetime(1970, 1, 2), datetime(2026, 1, 1), timezones=st.just(UTC))
_names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)
_qualities = st.just(UNMEASURED) | st.builds(
    Quality,
    **dict.fromkeys(("score", "sharpness", "brightness", "yaw", "overall"), _floats),
    size=st.floats(1, 100, width=32),
    blockiness=st.none() | _floats,
    covered=st.none() | _floats,
    covered_part=st.sampled_from([None, "eyes"]),
)


@st.composite
def _templates(draw: st.DrawFn) -> Template:
    import unicodedata

    granted = draw(_times)
    return Template(
        template_id=str(draw(st.uuids())),
        user_id=unicodedata.normalize("NFC", draw(_names)),
        subject_id=unicodedata.normalize("NFC", draw(_names)),
        model_version="one",
        vector=np.array([draw(_floats), draw(st.floats(1, 2, width=32))], "<f4").tobytes(),
        quality=draw(_qualities),
        consent=Consent(
            draw(_names),
            granted,
            draw(st.none() | st.just(granted + timedelta(days=9000, microseconds=1))),
            draw(st.booleans()),
        ),
        source=draw(st.builds(Source, _names, st.integers(0, 9), st.integers(0, 2**62))),
        enrolled_at=draw(_times),
        picture_sha256=draw(st.none() | st.just("ab" * 32)),
    )


@KINDS
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(made=st.lists(_templates(), min_size=1, max_size=6, unique_by=lambda one: one.template_id))
def test_what_is_written_is_read_to_the_last_bit(suffix: str, made: list[Template], tmp_path: Path) -> None:
    path = tmp_path / f"some{suffix}"
    digest = vector_file.write(path, made, created_at=NOW, installation="here/", user_id="anna")
    assert vector_file.version_of(path) == "one"
    read = vector_file.read(path, PLAIN)
    assert sorted(read.templates(), key=str) == sorted(made, key=str)
    assert [one.user_id for one in read.templates()] == sorted(one.user_id for one in made)
    assert (read.created_at, read.installation, read.user_id, read.sha256) == (NOW, "here/", "anna", digest)
    assert path.stat().st_mode & 0o77 == 0
    # And once more, from what was read.
    again = vector_file.write(path, list(read.templates()), created_at=NOW, installation="here/", user_id="anna")
    assert sorted(vector_file.read(path, PLAIN).templates(), key=str) == sorted(made, key=str)
    assert vector_file.read(path, PLAIN).sha256 == again


def columns(**changes: Any) -> dict[str, Any]:
    """The least that a file must have: three people of two users."""
    made = {
        "user_id": np.array(["b", "a", "b"]),
        "subject_id": np.array(["x", "y", "z"]),
        "vector": np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32),
        "consent_purpose": np.array(["recognition"] * 3),
        "consent_granted_at": np.array(["2025-01-01", "2025-01-02", "2025-01-03"], "datetime64[s]"),
        "model_version": np.array("one"),
    } | changes
    return {name: column for name, column in made.items() if column is not None}


Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save columns as another program would."""

    def save_as(suffix: str, made: dict[str, Any]) -> Path:
        path = tmp_path / f"some{suffix}"
        if suffix == ".npz":
            np.savez(path, **made)
            return path
        import pyarrow as pa
        import pyarrow.parquet as pq

        plain = {
            name: list(column) if column.ndim else [str(column)] * len(made["user_id"]) for name, column in made.items()
        }
        pq.write_table(pa.table(plain), path)
        return path

    return save_as


@KINDS
def test_the_least_that_is_needed_is_completed_from_the_contents(save: Save, suffix: str) -> None:
    read = list(vector_file.read(save(suffix, columns()), PLAIN).templates())
    assert [(one.user_id, one.subject_id) for one in read] == [("a", "y"), ("b", "x"), ("b", "z")]
    first = read[0]
    assert first.enrolled_at == first.consent.granted_at == datetime(2025, 1, 2, tzinfo=UTC)
    assert (first.quality, first.source, first.consent.expires_at) == (UNMEASURED, Source("import", 0, 0), None)
    assert np.frombuffer(first.vector, "<f4").tolist() == [0, 1]
    # In whatever order, and as texts, it is the same; another consent or vector is another enrolment.
    turned = columns()
    turned |= {name: turned[name][::-1] for name in turned if name != "model_version"}
    turned["consent_granted_at"] = np.array(["2025-01-03T01:00:00+01:00", "2025-01-02", "2025-01-01T00:00:00Z"])
    assert {str(one) for one in vector_file.read(save(suffix, turned), PLAIN).templates()} == set(map(str, read))
    ids = {one.template_id for one in read}
    for changed in (
        {"consent_purpose": np.array(["another"] * 3)},
        {"vector": np.array([[1, 1], [1, 1], [1, 1]], np.float32)},
        {"consent_expires_at": np.array(["2099-01-01"] * 3, "datetime64[us]")},
        {"subject_id": np.array(["q"] * 3)},
    ):
        assert ids.isdisjoint(
            one.template_id for one in vector_file.read(save(suffix, columns(**changed)), PLAIN).templates()
        )


@KINDS
def test_rows_that_are_the_same_count_once(save: Save, suffix: str) -> None:
    twice = {name: np.concatenate([column] * 2) for name, column in columns(model_version=None).items()}
    read = vector_file.read(save(suffix, twice), PLAIN)
    assert (read.rows.count, read.rows.repeated, len(list(read.templates()))) == (3, 3, 3)


ID = "12345678-1234-4234-8234-123456789abc"
FUTURE = np.datetime64(utc_now().replace(tzinfo=None) + timedelta(days=1), "us")
WRONG = {
    "no column": ({"consent_purpose": None}, "there is no column consent_purpose: needed are user_id"),
    "no time": ({"consent_granted_at": None}, "there is no column consent_granted_at"),
    "dimension": ({"vector": np.ones((3, 3), np.float32)}, "3 × 3, and vectors of two have 2 dimensions"),
    "integers": ({"vector": np.array([[1, 0]] * 3)}, "vector does not hold numbers of floating point, but int64"),
    "not a number": (
        {"vector": np.array([[1, 0], [0, np.nan], [1, 0]])},
        "row 1 has a number in its vector that is none",
    ),
    "infinite": ({"vector": np.array([[1, 0], [1, 0], [np.inf, 0]])}, "row 2 has a number in its vector"),
    "length": (
        {"vector": np.array([[1, 0], [3, 4], [2.0, 0]])},
        r"row 1 has a vector that is not of length 1, .* 1 of the rows",
    ),
    "noughts": ({"vector": np.zeros((3, 2))}, "not of length 1"),
    "user": ({"user_id": np.array(["a", " ", "b"])}, "row 1: user_id must be a text that is not empty"),
    "subject": ({"subject_id": np.array(["a", "b\u200b", "b"])}, "row 1: subject_id .* has an invisible character"),
    "purpose": ({"consent_purpose": np.array(["a", "", "b"])}, "row 1: consent_purpose is empty"),
    "id": ({"template_id": np.array([ID, "7", ID])}, "row 1: template_id must be a UUID, not '7'"),
    "same id": ({"template_id": np.array([ID] * 3)}, f"rows 0 and 1 have the same template_id {ID}, and differ in"),
    "not yet": (
        {"consent_granted_at": np.array(["2025-01-01", FUTURE, "2025-01-01"], "M8[us]")},
        "row 1 has a consent that begins in the future",
    ),
    "over": (
        {"consent_expires_at": np.array(["2025-01-01"] * 3, "M8[us]")},
        "row 0 has a consent that ends before it begins",
    ),
    "no consent": (
        {"consent_granted_at": np.array(["2025-01-01", "NaT", "2025-01-01"], "M8[us]")},
        "row 1 does not say when the consent",
    ),
    "times": (
        {"consent_granted_at": np.array([1.0, 2.0, 3.0])},
        r"consent_granted_at does not hold times \(UTC\), but float64",
    ),
    "versions": (
        {"model_version": np.array(["one", "two", "two"])},
        "vectors of the model versions one, two: write a file for each",
    ),
}


@KINDS
@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_true_is_refused_in_one_line(
    save: Save, suffix: str, changes: dict[str, Any], message: str
) -> None:
    path = save(suffix, columns(**changes))
    with pytest.raises(UnusableVectors, match=message) as raised:
        vector_file.read(path, COSINE)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@KINDS
def test_vectors_of_any_length_are_taken_where_the_model_makes_such(save: Save, suffix: str) -> None:
    read = vector_file.read(save(suffix, columns(vector=np.array([[1, 0], [3, 4], [2.0, 0]]))), PLAIN)
    assert read.rows.count == 3
    with pytest.raises(UnusableVectors, match="row 1 has a vector of noughts"):
        vector_file.read(save(suffix, columns(vector=np.array([[1, 0], [0, 0], [2.0, 0]]))), PLAIN)


@KINDS
def test_a_file_that_is_cut_off_or_something_else_is_refused(save: Save, suffix: str) -> None:
    path = save(suffix, columns())
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"something else" * 10):
        path.write_bytes(data)
        for read in (vector_file.version_of, lambda path: vector_file.read(path, PLAIN)):
            with pytest.raises(UnusableVectors, match="is no"):
                read(path)


def test_columns_of_another_length_are_refused(save: Save) -> None:
    path = save(".npz", columns(subject_id=np.array(["x"])))
    with pytest.raises(UnusableVectors, match="subject_id has 1 rows, and user_id has 3"):
        vector_file.read(path, PLAIN)


def test_objects_are_not_unpickled(save: Save) -> None:
    path = save(".npz", columns(subject_id=np.array(["x", "y", None], object)))
    with pytest.raises(UnusableVectors, match=r"is no \.npz file with arrays of texts and numbers"):
        vector_file.read(path, PLAIN)
