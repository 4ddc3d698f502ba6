"""Object stores, by file systems of fsspec that need no account."""

from collections.abc import Iterator

import fsspec  # type: ignore[import-untyped]
import pytest

from schemas.reasons import Reason
from streams.embedding.payload import RootsError, check_roots, objects
from streams.embedding.payload.errors import PayloadRefused, PayloadUnavailable
from streams.embedding.payload.roots import find_root, parse_roots
from streams.settings import Settings


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    files = fsspec.filesystem("memory")
    files.pipe("/photos/a b.jpg", b"picture")
    files.pipe("/photos/empty.jpg", b"")
    yield files
    files.rm("/photos", recursive=True)


def reason(uri: str, limit: int = 100) -> Reason:
    with pytest.raises(PayloadRefused) as refused:
        objects.read(uri, limit)
    return refused.value.reason


@pytest.mark.usefixtures("store")
def test_reads() -> None:
    assert objects.read("memory://photos/a b.jpg", 7) == b"picture"
    assert objects.read("memory://photos/empty.jpg", 7) == b""


@pytest.mark.usefixtures("store")
def test_refusals() -> None:
    assert reason("memory://photos/a b.jpg", 6) == Reason.PICTURE_TOO_LARGE
    assert reason("memory://photos/nobody.jpg") == Reason.URI_UNREADABLE
    assert reason("memory://photos") == Reason.URI_UNREADABLE


def test_an_object_that_comes_later_is_found(store: fsspec.AbstractFileSystem) -> None:
    assert reason("memory://photos/later.jpg") == Reason.URI_UNREADABLE
    store.pipe("/photos/later.jpg", b"picture")
    assert objects.read("memory://photos/later.jpg", 100) == b"picture"


def test_a_store_that_is_away_may_be_tried_again() -> None:
    with pytest.raises(PayloadUnavailable, match="ConnectionRefusedError"):
        objects.read("ftp://127.0.0.1:1/photo.jpg", 100)


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("gs://photos/a.jpg", True),
        ("gs://photos/a b.jpg", True),
        ("gs://photos-of-others/a.jpg", False),
        ("s3://photos/a.jpg", False),
        ("gs://photos/", False),
        ("gs://photos/../others/a.jpg", False),
        ("gs:///a.jpg", False),
        ("s3://faces/door/a.jpg", True),
        ("s3://faces/doors/a.jpg", False),
        ("S3://faces/door/a.jpg", True),
    ],
)
def test_roots(uri: str, allowed: bool) -> None:
    roots = parse_roots(("gs://photos", "s3://faces/door"))
    if allowed:
        assert find_root(uri, roots)
    else:
        with pytest.raises(PayloadRefused) as refused:
            find_root(uri, roots)
        assert refused.value.reason == Reason.URI_NOT_ALLOWED


@pytest.mark.parametrize("root", ["photos", "http://x/", "ftp://x/", "gs://", "https://user@host/", "file://host/x/"])
def test_a_root_that_is_none(root: str) -> None:
    with pytest.raises(RootsError, match="FACESTREAM_URI_ROOTS"):
        check_roots(Settings(uri_roots=[root]))


def test_a_store_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objects.EXTRAS, "gs", ("a_package_that_is_not_there", "gcs"))
    with pytest.raises(RootsError, match=r"install facestream\[gcs\]"):
        check_roots(Settings(uri_roots=["gs://photos/"]))
