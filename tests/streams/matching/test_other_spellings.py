"""Templates that lie under another spelling of their user go to his partition as embeddings."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from schemas import codec
from schemas.embeddings import Embedding, UploadOrigin
from schemas.erasure import Erasure
from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.parts import Source
from streams.kafka.partitioner import partition_of
from streams.matching.gallery_shard import load, template_key
from streams.matching.other_spellings import as_embeddings
from streams.privacy.erasures import Erasures
from tests.sinks.examples import QUALITY

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Jos\u00e9") for form in ("NFC", "NFD"))


def template(user_id: str, subject_id: str, version: str = "one") -> Template:
    vector, consent = np.arange(4).astype("<f4").tobytes(), Consent("tests", NOW, NOW + timedelta(days=1), True)
    source = Source("uploads", 0, 1)
    return Template(new_event_id(), user_id, subject_id, version, vector, QUALITY, consent, source, NOW, "ab" * 32)


class Table:
    """What lies in the local store of a partition."""

    def __init__(self, *templates: Template) -> None:
        self._templates = templates

    def entries(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        yield from ((template_key(one), codec.encode(one)) for one in self._templates)


def test_two_subjects_that_look_the_same_are_one() -> None:
    table = Table(*(template("ursula", name) for name in (COMPOSED, DECOMPOSED)), template("ursula", "anna"))
    shard, strays = load(table, 0)
    assert strays == []
    assert shard.templates("ursula", COMPOSED) == len(shard.of("ursula", COMPOSED)) == 2


def test_a_user_who_is_spelt_otherwise_goes_to_his_partition_with_all_versions() -> None:
    one, erased, retired = (template(DECOMPOSED, name) for name in ("anna", "otto", "carla"))
    two = dataclasses.replace(one, model_version="two")
    retired = dataclasses.replace(retired, model_version="old")
    shard, strays = load(Table(one, two, erased, retired), 0)
    assert len(shard) == 0
    assert [stray.key for stray in strays] == [template_key(each) for each in (one, two, erased, retired)]
    erasures = Erasures()
    erasures.add(Erasure(new_event_id(), COMPOSED, NOW, "otto"), 1000 * int(NOW.timestamp()))
    [(key, value, partition)] = as_embeddings(strays, erasures, {"old"}, 8)
    assert (key, partition) == (COMPOSED.encode(), partition_of(COMPOSED, 8))
    sent = codec.decode(value, Embedding)
    assert (sent.event_id, sent.user_id, sent.source) == (one.template_id, COMPOSED, one.source)
    assert sent.origin == UploadOrigin("anna", NOW, one.consent, one.picture_sha256)
    assert sent.timings.produced_at == one.enrolled_at, "an erasure since then counts"
    [face] = sent.faces
    assert (sent.model_version, face.vector) == ("one", one.vector)
    assert [(other.model_version, other.vector) for other in face.others] == [("two", two.vector)]
