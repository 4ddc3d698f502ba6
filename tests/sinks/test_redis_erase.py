"""Erasing from Redis: a subject, a user, and what was kept under another spelling."""

from __future__ import annotations

import dataclasses
import time
import unicodedata
from contextlib import closing
from functools import partial
from types import SimpleNamespace

import pytest
import redis

from schemas.as_json import to_json
from schemas.ingest import Mode
from schemas.results import Candidate, Match, SearchCoverage
from sinks.base import SinkUnavailable
from sinks.redis import RedisResults, RedisSink
from sinks.redis import sink as module
from sinks.redis.erase import Eraser
from sinks.redis.keys import Keys
from tests.sinks.examples import NOW, delivery, enrolment, face, match, sighting, with_otto


def counted(url: str, user_id: str, subject_id: str | None) -> dict[str, int]:
    """What would be erased; and see that counting changes nothing."""
    client = redis.Redis.from_url(url, decode_responses=True)
    before = {name: client.dump(name) for name in client.scan_iter()}
    eraser = Eraser(client, Keys(), dry_run=True)
    found = eraser.user(user_id) if subject_id is None else eraser.subject(user_id, subject_id)
    assert {name: client.dump(name) for name in client.scan_iter()} == before
    return found


def test_a_subject_is_erased_and_answers_about_others_stay(sink: RedisSink, results: RedisResults, url: str) -> None:
    both, anna = with_otto(camera_id="both"), match()
    asked, enrolled = match(mode=Mode.VERIFY, subject_id="otto", camera_id="asked"), enrolment(subject_id="otto")
    others = with_otto(user_id="bert")
    replayed = with_otto(camera_id="both", replay_id="r1")
    sink.write([delivery(one) for one in (both, anna, asked, enrolled, enrolment(), others, replayed)])
    assert counted(url, "ursula", "otto") == {"answers": 4, "latest": 2, "live": 3, "subjects": 1}
    removed = sink.erase("ursula", "otto")
    assert removed == {"answers": 4, "latest": 2, "live": 3, "subjects": 1, "sightings": 0}
    left = results.result(both.event_id)
    assert left is not None
    first, second = left["faces"]
    assert (first["subject_id"], [one["subject_id"] for one in first["candidates"]]) == ("anna", ["anna"])
    assert (second["decision"], second["subject_id"], second["reason"]) == ("refused", None, "erased")
    assert results.latest("ursula", "both") == left
    assert results.result(anna.event_id) == to_json(anna)
    assert [results.result(asked.event_id), results.enrolment(enrolled.event_id)] == [None, None]
    assert results.latest("ursula", "asked") is None
    assert results.subjects("ursula") == {"anna": 1}
    client = redis.Redis.from_url(url, decode_responses=True)
    kept = {name: client.dump(name) for name in client.scan_iter() if "{bert}" not in name}
    assert not [name for name, value in kept.items() if b"otto" in (value or b"") and others.event_id not in name]
    assert results.result(others.event_id) == to_json(others), "another user's otto is another person"
    assert 0 < client.ttl(f"facestream:result:{both.event_id}") <= 86_400, "it goes when it would have gone"
    assert not any(sink.erase("ursula", "otto").values())


def test_a_user_is_erased_whole(sink: RedisSink, results: RedisResults, url: str) -> None:
    name = "u*[s]?{x}"
    corrected = match(user_id=name, replay_id="r2", corrects=True)
    mine = [match(user_id=name), enrolment(user_id=name), match(user_id=name, replay_id="r1"), corrected]
    others = match(user_id="uXs")
    sink.write([delivery(one) for one in (*mine, others)])
    assert counted(url, name, None) == {"answers": 4, "latest": 1, "live": 2, "subjects": 1}
    removed = sink.erase(name, None)
    assert removed == {"answers": 4, "latest": 1, "live": 2, "subjects": 1, "sightings": 0}
    client = redis.Redis.from_url(url, decode_responses=True)
    left = {key.replace(others.event_id, "id") for key in client.scan_iter()}
    kinds = ("result:id", "seen:{uXs}:id", "live:{uXs}", "latest:{uXs}:door", "answers:{uXs}")
    assert {key for key in left if "written:" not in key} == {f"facestream:{kind}" for kind in kinds}
    assert results.result(others.event_id) == to_json(others)


def test_no_key_has_the_name_of_an_erased_user(sink: RedisSink, url: str) -> None:
    """Nor have those of sightings that the stream has no more, or of answers to other users' searches."""
    seen = [sighting(user_id="bert") for _ in range(3)]
    hit = dataclasses.replace(face(subject_id="zoe"), user_id="bert")
    search = match(user_id="ursula", mode=Mode.SEARCH, faces=[hit], search=SearchCoverage(1, [0], 9, NOW))
    sink.write([delivery(one, n) for n, one in enumerate([*seen, match(user_id="bert"), search])])
    client = redis.Redis.from_url(url, decode_responses=True)
    client.xtrim(Keys().sightings("bert"), maxlen=1)
    sink.erase("bert", None)
    sink.erase_in_searches("bert", None, erasure_id="e", partition=0)
    assert [name for name in client.scan_iter() if "bert" in name] == []


def test_an_answer_of_another_user_with_the_same_event_id_stays(sink: RedisSink, results: RedisResults) -> None:
    first = match(faces=[face(subject_id="otto")])
    sink.write([delivery(first), delivery(dataclasses.replace(first, user_id="bert"), 1)])
    assert results.result(first.event_id) == to_json(first)
    assert sink.erase("bert", "otto")["answers"] == 0
    assert sink.erase("bert", None)["answers"] == 0
    assert results.result(first.event_id) == to_json(first)
    assert results.latest("bert", "door") is None
    assert sink.erase("ursula", None)["answers"] == 1


def test_an_answer_that_was_cut_off_while_it_was_written_is_found(
    sink: RedisSink, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker dies, its user is erased before anybody writes it again, and then nobody does."""
    client, execute = redis.Redis.from_url(url, decode_responses=True), redis.client.Pipeline.execute
    event = match()
    for commands in range(1, 5):

        def cut_off(pipeline: redis.client.Pipeline, *, raise_on_error: bool) -> None:
            del pipeline.command_stack[commands:]  # noqa: B023
            execute(pipeline, raise_on_error)
            raise redis.ConnectionError

        with monkeypatch.context() as patched, pytest.raises(SinkUnavailable):
            patched.setattr(redis.client.Pipeline, "execute", cut_off)
            sink.write([delivery(event)])
        sink.erase("ursula", None)
        assert [name for name in client.scan_iter() if "written:" not in name] == []


def test_what_was_kept_under_another_spelling_is_found_and_erased(
    sink: RedisSink, results: RedisResults, url: str
) -> None:
    """A release of before has kept names as they came."""
    (user, old_user), (zoe, old_zoe) = (
        [unicodedata.normalize(form, name) for form in ("NFC", "NFD")] for name in ("Jos\u00e9", "Zo\u00eb")
    )
    seen = match(user_id=old_user, camera_id=old_zoe, faces=[face(subject_id=old_zoe)])
    old = [enrolment(user_id=old_user, subject_id=name) for name in (old_zoe, "otto")]
    new = enrolment(user_id=user, subject_id=zoe, templates=2)
    sink.write([delivery(one) for one in (seen, *old, new)])
    for name in (user, old_user):
        assert results.subjects(name) == {zoe: 2, "otto": 1}
        assert results.latest(name, zoe) == results.latest(name, old_zoe) == to_json(seen)
    capitals = [seen.event_id.upper(), f"{{{new.event_id}}}"]
    assert list(results.wait_for(capitals, timeout_s=5)) == capitals
    assert results.enrolment(capitals[1]) == to_json(new)
    removed = sink.erase(user, zoe)
    assert removed == {"answers": 3, "latest": 1, "live": 3, "subjects": 2, "sightings": 0}
    assert results.subjects(user) == {"otto": 1}
    assert sink.erase(user, None)["answers"] == 2
    left = redis.Redis.from_url(url, decode_responses=True).scan_iter()
    assert [key for key in left if "written:" not in key] == []


def test_an_enrolment_of_somebody_else_does_not_name_whom_it_was_like(sink: RedisSink, results: RedisResults) -> None:
    like = enrolment(similar_subject_id="otto", detail="…")
    two = dataclasses.replace(with_otto().faces[0], ambiguous=True)
    both = match(faces=[two])
    sink.write([delivery(like), delivery(both, 1)])
    assert sink.erase("ursula", "otto")["answers"] == 2
    assert results.enrolment(like.event_id) == to_json(dataclasses.replace(like, similar_subject_id=None, detail=None))
    left = results.result(both.event_id)
    assert left is not None
    assert left["faces"][0]["ambiguous"] is False


def test_answers_to_searches_are_found_by_whom_they_name(sink: RedisSink, results: RedisResults, url: str) -> None:
    def searched(user_id: str, *people: tuple[str, str]) -> Match:
        candidates = [Candidate(subject, 0.9, 0.1, 1e-6, user) for user, subject in people]
        one = dataclasses.replace(face(), user_id=people[0][0], subject_id=people[0][1], candidates=candidates)
        return match(user_id=user_id, mode=Mode.SEARCH, faces=[one], search=SearchCoverage(1, [0], 9, NOW))

    def named(event: Match) -> list[tuple[str, str]]:
        answer = results.result(event.event_id)
        assert answer is not None
        return [(one["user_id"], one["subject_id"]) for one in answer["faces"][0]["candidates"]]

    first = searched("ursula", ("bert", "zoe"), ("cid", "otto"))
    second = searched("anna", ("cid", "zoe"), ("cid", "otto"), ("bert", "otto"))
    other = match(user_id="bert", faces=[face(subject_id="zoe")])
    sink.write([delivery(one) for one in (first, second, other)])
    assert results.latest("ursula", "door") is None, "they are shown to nobody"
    erased = sink.erase_in_searches("bert", "zoe", erasure_id="e", partition=0)
    assert erased == {"searches": 1}
    assert (named(first), named(second)) == ([("cid", "otto")], [("cid", "zoe"), ("cid", "otto"), ("bert", "otto")])
    answer = results.result(first.event_id)
    assert answer is not None and answer["faces"][0]["decision"] == "refused"
    assert results.result(other.event_id) == to_json(other), "that is of his own frames"
    redis.Redis.from_url(url).set(Keys().named("cid"), "what somebody else has put there")
    assert sink.erase_in_searches("cid", None, erasure_id="e", partition=0) == {"searches": 2}
    assert (named(first), named(second)) == ([], [("bert", "otto")])
    assert sink.erase("ursula", None)["answers"] == 1
    assert results.result(first.event_id) is None


def test_an_answer_is_found_though_answers_are_kept_for_shorter_now(
    results: RedisResults, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after, now = match(), match(), time.time()
    with closing(RedisSink(url, result_ttl_s=1_000)) as sink:
        sink.write([delivery(before)])
    with closing(RedisSink(url, result_ttl_s=10)) as sink:
        for at, one in ((now + 500, match()), (now + 600, after)):
            monkeypatch.setattr(module, "time", SimpleNamespace(time=partial(float, at)))
            sink.write([delivery(one)])
        indexed = redis.Redis.from_url(url, decode_responses=True).zrange(Keys().answers("ursula"), 0, -1)
        assert sorted(indexed) == sorted(Keys().result(one.event_id) for one in (before, after))
        assert sink.erase("ursula", None)["answers"] == 2
    assert results.result(before.event_id) is None
