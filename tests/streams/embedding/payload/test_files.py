import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.ingest import Picture
from schemas.parts import Refusal
from schemas.reasons import Reason
from streams.embedding.payload import fetch
from streams.settings import Settings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a b.jpg").write_bytes(b"picture")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "photos-of-others").mkdir()
    (tmp_path / "photos-of-others" / "x.jpg").write_bytes(b"secret")
    return folder


def get(uri: str, root: Path) -> bytes | Refusal:
    return fetch(Picture(uri=uri), Settings(uri_roots=[f"file://{root}"], max_picture_bytes=100))


def reason(uri: str, root: Path) -> str:
    answer = get(uri, root)
    assert isinstance(answer, Refusal), answer
    return answer.reason


def test_reads_below_the_root(root: Path) -> None:
    assert get(f"file://{root}/inner/a%20b.jpg", root) == b"picture"
    assert get(f"file://localhost{root}/inner/a%20b.jpg", root) == b"picture"


def test_no_root_no_file(root: Path) -> None:
    answer = fetch(Picture(uri=f"file://{root}/inner/a%20b.jpg"), Settings(uri_roots=[]))
    assert isinstance(answer, Refusal)
    assert answer.reason == Reason.URI_NOT_ALLOWED


@pytest.mark.parametrize(
    "path",
    [
        "../secret.jpg",
        "inner/../../secret.jpg",
        "%2e%2e/secret.jpg",
        "inner/%2e%2e/%2e%2e/secret.jpg",
        "..\\secret.jpg",
        "inner/./a%20b.jpg",
        "inner/a%20b.jpg%00",
        "inner/a b.jpg",
        "",
    ],
)
def test_odd_paths_are_not_allowed(path: str, root: Path) -> None:
    assert reason(f"file://{root}/{path}", root) == Reason.URI_NOT_ALLOWED


def test_a_root_is_a_folder_not_a_prefix(root: Path) -> None:
    assert reason(f"file://{root}-of-others/x.jpg", root) == Reason.URI_NOT_ALLOWED


@pytest.mark.parametrize("uri", ["file://elsewhere/x", "http://x/y", "ftp://x/y", "memory://x", "x.jpg", "/etc/passwd"])
def test_other_schemes_are_not_allowed(uri: str, root: Path) -> None:
    assert reason(uri, root) == Reason.URI_NOT_ALLOWED


def test_links_may_not_lead_out(root: Path) -> None:
    (root / "file.jpg").symlink_to(root.parent / "secret.jpg")
    (root / "folder").symlink_to(root.parent)
    (root / "relative.jpg").symlink_to("../secret.jpg")
    for path in ("file.jpg", "folder/secret.jpg", "relative.jpg"):
        assert reason(f"file://{root}/{path}", root) == Reason.URI_NOT_ALLOWED


def test_links_within_are_followed(root: Path) -> None:
    (root / "link.jpg").symlink_to("inner/a b.jpg")
    assert get(f"file://{root}/link.jpg", root) == b"picture"


def test_the_root_itself_may_be_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert get(f"file://{link}/inner/a%20b.jpg", link) == b"picture"


def test_a_loop_of_links_is_refused(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert reason(f"file://{root}/a", root) == Reason.URI_UNREADABLE


def test_only_regular_files(root: Path) -> None:
    os.mkfifo(root / "fifo")
    for path in ("fifo", "inner"):
        assert reason(f"file://{root}/{path}", root) == Reason.URI_UNREADABLE


@pytest.fixture
def unix_socket(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(root)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
        yield


@pytest.mark.usefixtures("unix_socket")
def test_no_sockets(root: Path) -> None:
    assert reason(f"file://{root}/sock", root) == Reason.URI_UNREADABLE


def test_no_devices() -> None:
    assert reason("file:///dev/zero", Path("/dev")) == Reason.URI_UNREADABLE


def test_missing_file(root: Path) -> None:
    assert reason(f"file://{root}/nobody.jpg", root) == Reason.URI_UNREADABLE
    assert reason(f"file://{root}/{'x' * 300}", root) == Reason.URI_UNREADABLE


def test_sizes(root: Path) -> None:
    (root / "large.jpg").write_bytes(b"x" * 101)
    (root / "empty.jpg").write_bytes(b"")
    assert reason(f"file://{root}/large.jpg", root) == Reason.PICTURE_TOO_LARGE
    assert reason(f"file://{root}/empty.jpg", root) == Reason.EMPTY_PICTURE
