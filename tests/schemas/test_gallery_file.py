"""The file of an exported gallery: whole, or refused."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import fastavro
import numpy as np
import pytest

from schemas import codec, gallery_file
from schemas.gallery import Template
from schemas.gallery_file import UnusableGalleryFile
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.parts import Source
from tests.sinks.examples import QUALITY

NOW = datetime(2026, 11, 29, 12, 0, 0, 250_000, tzinfo=UTC)
RANDOM = np.random.default_rng(5)


def template(number: int, version: str = "v1") -> Template:
    vector = RANDOM.normal(size=128).astype("<f4").tobytes()
    consent = Consent("opening the door", NOW, training=bool(number % 2))
    made = Template(new_event_id(), "anna", f"s{number}", version, vector, QUALITY, consent, Source("up", 1, 2), NOW)
    made = replace(made, picture_sha256="0f" * 32 if number % 3 else None)
    return codec.decode(codec.encode(made), Template)  # as a changelog gives it, with qualities in single precision


TEMPLATES = [template(number) for number in range(200)]


def written(path: Path, templates: list[Template] = TEMPLATES) -> Path:
    gallery_file.write(path, templates, created_at=NOW, installation="c/", user_id="anna")
    return path


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = written(tmp_path / "a.avro")
    found = gallery_file.check(path)
    assert (found.vectors, found.user_id, found.installation, found.created_at) == (200, "anna", "c/", NOW)
    assert list(gallery_file.templates(path)) == TEMPLATES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["a.avro"]


def test_any_avro_library_reads_it(tmp_path: Path) -> None:
    with written(tmp_path / "a.avro").open("rb") as file:
        reader = fastavro.reader(file)
        assert reader.metadata["facestream.format"] == "1"
        assert reader.writer_schema["name"] == "facestream.Template"
        assert [str(one["template_id"]) for one in reader] == [one.template_id for one in TEMPLATES]


def test_a_file_that_was_cut_off_is_refused_wherever_that_was(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.avro").read_bytes()
    cut = tmp_path / "cut.avro"
    ends = {0, 1, 3, 4, 100, *range(2_000, len(whole), 997), len(whole) - 1}
    # Behind a block, what is left is a whole container.
    sync = whole[-16:]
    blocks = [at + 16 for at in range(len(whole) - 16) if whole.startswith(sync, at)]
    assert len(blocks) > 3, "several blocks"
    for end in sorted(ends | set(blocks)):
        cut.write_bytes(whole[:end])
        with pytest.raises(
            UnusableGalleryFile, match=r"cut\.avro.*cut off" if end > 3 else r"does not begin as an Avro"
        ):
            gallery_file.check(cut)


def test_a_file_with_a_changed_byte_is_refused(tmp_path: Path) -> None:
    whole = bytearray(written(tmp_path / "a.avro").read_bytes())
    changed = tmp_path / "changed.avro"
    for at in [*range(0, 40, 7), *range(47, 4_000, 41), *range(4_000, len(whole), 1_511)]:
        whole[at] ^= 1
        changed.write_bytes(whole)
        whole[at] ^= 1
        with pytest.raises(UnusableGalleryFile, match=r"changed\.avro"):
            gallery_file.check(changed)


@pytest.mark.parametrize("content", [b"", b"hello", b"Obj\x01", bytes(5_000)])
def test_what_is_no_export_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(UnusableGalleryFile, match="is no exported gallery"):
        gallery_file.check(tmp_path / "other")


def test_another_avro_file_is_refused(tmp_path: Path) -> None:
    schema = {"type": "record", "name": "Other", "fields": [{"name": "a", "type": "int"}]}
    with (tmp_path / "other.avro").open("wb") as file:
        fastavro.writer(file, schema, [{"a": 1}])
    with pytest.raises(UnusableGalleryFile, match=r"no `facestream\.format` in its header"):
        gallery_file.check(tmp_path / "other.avro")


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.avro")
    before = path.read_bytes()

    def broken() -> Iterator[Template]:
        yield from TEMPLATES
        raise ConnectionError

    with pytest.raises(ConnectionError):
        gallery_file.write(path, broken(), created_at=NOW, installation="c/", user_id=None)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.avro"]
    written(path, TEMPLATES[:3])
    assert list(gallery_file.templates(path)) == TEMPLATES[:3]
