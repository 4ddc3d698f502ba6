"""What a shard tells of templates whose consent has ended."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np

from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.parts import Source
from streams.matching.consent_ends import TemplateKey
from streams.matching.gallery_shard import GalleryShard
from tests.sinks.examples import QUALITY

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def template(**consent: datetime) -> Template:
    agreed = dataclasses.replace(Consent("tests", NOW), **consent)  # type: ignore[arg-type]
    vector = np.zeros(4, "<f4").tobytes()
    return Template(new_event_id(), "anna", "anna", "some", vector, QUALITY, agreed, Source("uploads", 0, 1), NOW)


def key(one: Template) -> TemplateKey:
    return one.user_id, one.template_id, one.model_version


def test_who_has_withdrawn_matches_no_more_and_is_told_of_until_that_was_delivered() -> None:
    shard, short, long = GalleryShard(), template(expires_at=NOW), template(expires_at=NOW + timedelta(days=1))
    for one in (short, long, template()):
        shard.add(one)
    assert shard.expired(NOW - timedelta(seconds=1)) == []
    assert shard.expired(NOW) == [key(short)]
    assert shard.size.templates == len(shard) == 2
    assert shard.expired(NOW) == [key(short)], "its delivery failed, so it is tried again"
    shard.forget_expired()
    assert shard.expired(NOW) == []
    assert shard.expired(NOW + timedelta(days=1)) == [key(long)]


def test_who_is_erased_leaves_nothing_behind() -> None:
    shard = GalleryShard()
    otto, anna = template(expires_at=NOW), template(expires_at=NOW)
    otto = dataclasses.replace(otto, subject_id="otto")
    for one in (otto, dataclasses.replace(otto, model_version="other"), anna):
        shard.add(one)
    assert shard.of("anna", "otto") == [(otto.template_id, "some"), (otto.template_id, "other")]
    assert len(shard.of("anna", None)) == 3
    shard.erase("anna", shard.of("anna", "otto"))
    assert shard.of("anna", None) == [(anna.template_id, "some")]
    assert shard.expired(NOW) == [key(anna)], "nor is the end of the consent remembered"


def test_the_same_template_twice_ends_once() -> None:
    shard, one = GalleryShard(), template(expires_at=NOW)
    again = dataclasses.replace(one, vector=np.ones(4, "<f4").tobytes())
    for each in (one, template(expires_at=NOW), again):
        shard.add(each)
    assert len(shard) == 2
    ended = shard.expired(NOW)
    assert len(set(ended)) == len(ended) == 2
    assert len(shard) == 0


def test_a_template_whose_consent_was_given_anew_stays() -> None:
    shard, short = GalleryShard(), template(expires_at=NOW)
    shard.add(short)
    shard.add(dataclasses.replace(short, consent=dataclasses.replace(short.consent, expires_at=None)))
    assert shard.expired(NOW) == []
    assert len(shard) == 1
