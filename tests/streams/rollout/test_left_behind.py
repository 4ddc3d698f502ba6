"""A retirement on real services, of a version of which some people have no photo left to make other templates from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from models.testing.digest import CARD
from schemas.rollout import GivenUpSubject
from sinks.redis.results import RedisResults
from streams.client.producer import Producer
from streams.devtools.benchmarks.rollout import add_version
from streams.devtools.local_stack import Stack
from streams.model_registry import records, transitions
from streams.model_registry.errors import RolloutError
from streams.operations.erase import erase
from streams.operations.subjects import enrolled_subjects, read_versions, subjects_to_enrol_again
from streams.roles import Embedder
from streams.rollout import retirement
from streams.rollout.backfill import backfill
from streams.settings import Settings
from tests.prepared_tables import with_tables


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = with_tables(tmp_path_factory.mktemp("left-behind"))
    with Stack(folder, print, partitions=4, live_stream_length=10**6) as running:
        running.add_workers(Embedder.DIGEST)
        yield running.settings


def test_who_has_no_photos_left_holds_up_a_retirement(settings: Settings) -> None:
    old_version = records.read_registry(settings, "digest").production
    old, new = (CARD.model_copy(update={"version": version}) for version in (old_version, "digest-5"))
    add_version(settings, new)
    with closing(Producer(settings, check_format=False)) as producer:

        def enrol(subject: str, picture: bytes) -> None:
            sent = producer.enrol("nora", picture * 9, consent="tests", subject_id=subject)
            with closing(RedisResults(settings.redis_url)) as results:
                assert results.wait_for([sent.event_id], 60.0)

        enrol("again", b"a photo that is not kept")
        enrol("never", b"another photo that is not kept")
        records.apply(settings, lambda registry: transitions.shadow(registry, new))
        filled = backfill(settings, new.version, [])  # as if neither photos nor faces were kept
        assert "nora" in filled.stragglers
        assert filled.left_behind["nora"] == ["again", "never"]
        records.apply(settings, lambda registry: transitions.promote(registry, new))
        enrol("again", b"a new photo")
        with pytest.raises(RolloutError, match=r"templates of digest(-3)? only .*Nothing was retired"):
            retirement.retire(settings, old)
        record, lost = retirement.retire(settings, old, force=True)
        assert lost.by_user["nora"] == ["never"], "who has enrolled again only loses a photo"
        assert GivenUpSubject("nora", "never") in record.given_up

        enrol("third", b"a photo, with which match removes the retired templates")

        def to_enrol_again() -> list[str]:
            enrolled = enrolled_subjects(settings, "nora")
            return [one.subject_id for one in subjects_to_enrol_again(read_versions(settings), enrolled, "nora")]

        deadline = time.monotonic() + 60
        while to_enrol_again() != ["never"]:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        enrol("never", b"a late photo")
        assert to_enrol_again() == []
    assert erase(settings, "nora").removed["models"] == {"names": 1}
    forgetful = records.read_registry(settings, "digest").record(old.version)
    assert forgetful is not None
    assert not any(one.user_id == "nora" for one in forgetful.given_up)
