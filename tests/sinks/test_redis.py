"""Results in Redis: each once, the latest never goes back, whatever is written twice, late, or by a zombie."""

from __future__ import annotations

import dataclasses
import json
import time
from datetime import timedelta
from threading import Thread

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.as_json import to_json
from schemas.ids import new_event_id
from schemas.parts import Decision, Refusal
from schemas.results import Match, Outcome
from sinks.base import Position, RejectedRow, RewindRequest, SinkFenced, SinkUnavailable
from sinks.redis import RedisResults, RedisSink, ResultsUnavailable
from tests.sinks.examples import NOW, dead_letter, delivery, enrolment, face, match, timings
from tests.sinks.servers import Redis
from tests.waiting import wait_until


def live_ids(results: RedisResults, user_id: str = "ursula") -> list[str]:
    return [entry.event["event_id"] for entry in results.follow(user_id, after="0", timeout_s=0.05)]


def test_an_answer_is_found_by_event_id_camera_and_live(sink: RedisSink, results: RedisResults) -> None:
    seen, enrolled = match(), enrolment(templates=3)
    sink.write([delivery(seen), delivery(enrolled)])
    assert results.result(seen.event_id) == to_json(seen) == results.latest("ursula", "door")
    assert results.enrolment(enrolled.event_id) == to_json(enrolled)
    assert results.subjects("ursula") == {"anna": 3}
    entries = list(results.follow("ursula", after="0", timeout_s=0.05))
    assert [(entry.kind, entry.event) for entry in entries] == [
        ("match", to_json(seen)),
        ("enrolment", to_json(enrolled)),
    ]


def test_a_live_entry_says_the_essence_without_parsing(sink: RedisSink, url: str) -> None:
    faces = [face(Decision.UNKNOWN, None), face(Decision.MATCH, "anna")]
    sink.write([delivery(match(event_id=new_event_id(), faces=faces))])
    sink.write([delivery(match(faces=[], refusal=Refusal("no_face", "no face was found")))])
    first, second = (fields for _, fields in redis.Redis.from_url(url).xrange("facestream:live:{ursula}"))
    assert (first[b"camera_id"], first[b"decision"], first[b"subjects"]) == (b"door", b"match", b'["anna"]')
    assert (second[b"decision"], second[b"reason"], second[b"faces"]) == (b"refused", b"no_face", b"0")


def test_a_batch_written_again_changes_nothing(sink: RedisSink, results: RedisResults, url: str) -> None:
    batch = [delivery(match(sequence=n), n) for n in range(20)] + [delivery(enrolment())]
    with redis.Redis.from_url(url).pubsub() as channel:
        channel.subscribe("facestream:live:{ursula}")
        sink.write(batch)
        RedisSink(url).write(batch[5:])
        sink.write([delivery(match(event_id=batch[0].event.event_id, model_version="later"))])  # type: ignore[union-attr]
        messages = []
        while message := channel.get_message(timeout=0.2):
            messages.append(message)
    published = [json.loads(m["data"])["event_id"] for m in messages if m["type"] == "message"]
    wanted = [one.event.event_id for one in batch]  # type: ignore[union-attr]
    assert published == live_ids(results) == wanted
    assert results.result(wanted[0])["model_version"] == "dlib-1"  # type: ignore[index]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(8)), batches=st.integers(1, 8))
def test_latest_is_the_newest_in_whatever_order_they_come(
    sink: RedisSink, results: RedisResults, order: list[int], batches: int
) -> None:
    camera = new_event_id()
    # Two pictures share each time stamp, so the number decides between them.
    events = [
        match(camera_id=camera, sequence=n, captured_at=NOW + timedelta(milliseconds=n // 2 * 40)) for n in range(8)
    ]
    shuffled = [delivery(events[n]) for n in order]
    for start in range(0, 8, batches):
        sink.write(shuffled[start : start + batches])
    assert results.latest("ursula", camera)["event_id"] == events[-1].event_id  # type: ignore[index]


def test_latest_survives_a_camera_that_restarts_or_mends_its_clock(sink: RedisSink, results: RedisResults) -> None:
    def seen(sequence: int, minutes: float, ahead_minutes: float = 0) -> Match:
        at = NOW + timedelta(minutes=minutes)
        return match(sequence=sequence, captured_at=at + timedelta(minutes=ahead_minutes), timings=timings(at))

    before, restarted, ahead, mended = seen(900, 0), seen(0, 1), seen(1, 2, ahead_minutes=30), seen(2, 3)
    future = seen(3, 4, ahead_minutes=60 * 24 * 365)
    for event in (before, restarted, ahead, mended, future):
        sink.write([delivery(event)])
        assert results.latest("ursula", "door")["event_id"] == event.event_id  # type: ignore[index]
    last = seen(4, 5)
    sink.write([delivery(last), delivery(seen(5, -100))])
    assert results.latest("ursula", "door")["event_id"] == last.event_id  # type: ignore[index]


def test_a_replay_stands_beside_the_live_answer(sink: RedisSink, results: RedisResults) -> None:
    live = match()
    again = match(event_id=live.event_id, replay_id="r1", captured_at=NOW + timedelta(hours=1), model_version="new")
    sink.write([delivery(live), delivery(again)])
    assert results.result(live.event_id) == results.latest("ursula", "door") == to_json(live)
    assert results.result(live.event_id, "r1") == to_json(again)
    assert live_ids(results) == [live.event_id]


def test_a_correction_takes_the_place_of_the_answer(sink: RedisSink, results: RedisResults) -> None:
    live, other = match(sequence=2), match(sequence=1, camera_id="gate")
    later = match(sequence=3, camera_id="gate")
    sink.write([delivery(event) for event in (live, other, later)])

    def corrected(event: Match, replay_id: str, seconds: int) -> Match:
        at = NOW + timedelta(seconds=seconds)
        return dataclasses.replace(event, replay_id=replay_id, corrects=True, matched_at=at, model_version=replay_id)

    newer, older = corrected(live, "r2", 20), corrected(live, "r1", 10)
    sink.write([delivery(newer), delivery(older), delivery(corrected(live, "r2", 30)), delivery(live)])
    assert results.result(live.event_id) == results.latest("ursula", "door") == to_json(newer)
    sink.write([delivery(corrected(other, "r1", 10))])
    assert results.result(other.event_id) == to_json(corrected(other, "r1", 10))
    assert results.latest("ursula", "gate") == to_json(later)
    assert results.result(live.event_id, "r2") is None
    assert live_ids(results) == [live.event_id, other.event_id, later.event_id]


def test_a_correction_of_another_user_with_the_same_event_id_is_not_shown(
    sink: RedisSink, results: RedisResults
) -> None:
    first = match()
    other = dataclasses.replace(first, user_id="bert", replay_id="r1", corrects=True)
    sink.write([delivery(first), delivery(other, 1)])
    assert results.result(first.event_id) == to_json(first)


def test_a_corrected_outcome_counts_templates(sink: RedisSink, results: RedisResults) -> None:
    refused = enrolment(outcome=Outcome.REFUSED, refusal=Refusal("no_face", "no face was found"), templates=0)
    sink.write([delivery(refused)])
    mended = enrolment(event_id=refused.event_id, templates=1, replay_id="r1", corrects=True)
    sink.write([delivery(mended), delivery(mended)])
    assert results.enrolment(refused.event_id) == to_json(mended)
    assert results.subjects("ursula") == {"anna": 1}
    assert live_ids(results) == [refused.event_id]


def test_a_correction_is_kept_where_nothing_was(sink: RedisSink, results: RedisResults) -> None:
    mended = match(replay_id="r1", corrects=True)
    sink.write([delivery(mended)])
    assert results.result(mended.event_id) == to_json(mended)
    assert results.latest("ursula", "door") is None


def test_a_refused_upload_counts_no_template(sink: RedisSink, results: RedisResults) -> None:
    refusal = Refusal("no_face", "no face was found")
    sink.write([delivery(enrolment(outcome=Outcome.REFUSED, refusal=refusal, templates=0))])
    assert results.subjects("ursula") == {}


def test_the_live_stream_is_capped_and_answers_expire(url: str, results: RedisResults) -> None:
    sink = RedisSink(url, stream_length=100, result_ttl_s=50)
    batch = [delivery(match(sequence=n), n) for n in range(1000)]
    sink.write(batch)
    client = redis.Redis.from_url(url)
    assert 100 <= client.xlen("facestream:live:{ursula}") < 300
    last = batch[-1].event.event_id  # type: ignore[union-attr]
    for key in (f"facestream:result:{last}", f"facestream:seen:{{ursula}}:{last}"):
        assert 0 < client.ttl(key) <= 50


def test_one_user_cannot_write_under_the_name_of_another(sink: RedisSink, results: RedisResults) -> None:
    honest = match(user_id="u", camera_id="cam}:x")
    sink.write([delivery(honest), delivery(match(user_id="u}:cam", camera_id="x", sequence=9))])
    assert results.latest("u", "cam}:x") == to_json(honest)


def test_a_server_restarted_empty_gets_all_again(redis_server: Redis, sink: RedisSink, results: RedisResults) -> None:
    first, second = delivery(match(), offset=0), delivery(match(sequence=2), offset=1)
    sink.assign([Position(first.partition, 0, "")])
    sink.write([first])
    note = sink.note(first.partition)
    redis_server.kill()
    with pytest.raises(SinkUnavailable):
        sink.write([second])
    with pytest.raises(ResultsUnavailable):
        results.result(first.event.event_id)
    redis_server.start_empty()

    def fenced() -> bool:
        try:
            sink.write([second])
        except SinkUnavailable:
            return False
        except SinkFenced:
            return True
        raise AssertionError("the loss was not noticed")

    wait_until(fenced, 10)
    assert sink.assign([Position(first.partition, 1, note)]) == {first.partition: RewindRequest(0, 86_400)}
    sink.write([first, second])
    assert set(live_ids(results)) == {first.event.event_id, second.event.event_id}
    assert results.latest("ursula", "door") == to_json(second.event)
    assert sink.assign([Position(first.partition, 2, sink.note(first.partition))]) == {}


def test_of_what_lasts_all_is_asked_for_again(url: str) -> None:
    sink, (of_match, of_enrolment) = RedisSink(url, lasting=["enrolments"]), [delivery(match()), delivery(enrolment())]
    notes = [Position(one.partition, 9, "9") for one in (of_match, of_enrolment)]
    again = sink.assign(notes)
    assert again[of_match.partition].age_s == 86_400
    assert again[of_enrolment.partition].age_s > 365 * 86_400, "a subject is there as long as its templates"
    sink.close()


def test_a_loss_is_noticed_while_nothing_is_written(sink: RedisSink, url: str) -> None:
    sink.check()
    sink.write([delivery(match())])
    sink.check()
    redis.Redis.from_url(url).flushall()
    with pytest.raises(SinkFenced):
        sink.check()


def test_a_frozen_server_is_unavailable_and_loses_nothing(redis_server: Redis, url: str, results: RedisResults) -> None:
    sink, event = RedisSink(url, answer_timeout_s=0.2), match()
    sink.write([delivery(match())])
    redis_server.freeze()
    try:
        with pytest.raises(SinkUnavailable):
            sink.write([delivery(event)])
    finally:
        redis_server.thaw()
    sink.write([delivery(event)])
    assert live_ids(results)[1:] == [event.event_id]


@pytest.mark.parametrize(
    "trouble",
    [("CONFIG", "SET", "maxmemory", "1"), ("REPLICAOF", "127.0.0.1", "1")],
    ids=["out of memory", "read-only"],
)
def test_a_server_that_cannot_take_writes_is_unavailable(
    sink: RedisSink, results: RedisResults, url: str, trouble: tuple[str, ...]
) -> None:
    event, client = match(), redis.Redis.from_url(url)
    client.execute_command(*trouble)
    try:
        with pytest.raises(SinkUnavailable):
            sink.write([delivery(event)])
    finally:
        client.execute_command("CONFIG", "SET", "maxmemory", "0")
        client.execute_command("REPLICAOF", "NO", "ONE")
    sink.write([delivery(event)])
    assert live_ids(results) == [event.event_id]


def test_a_key_of_a_wrong_type_rejects_its_event_only(sink: RedisSink, results: RedisResults, url: str) -> None:
    redis.Redis.from_url(url).set("facestream:live:{eve}", "not a stream")
    good, bad = match(), match(user_id="eve")
    with pytest.raises(RejectedRow) as caught:
        sink.write([delivery(bad, 0), delivery(good, 1)])
    assert [one.event for one in caught.value.deliveries] == [bad]
    sink.write([delivery(good, 1)])
    assert live_ids(results) == [good.event_id]


def test_dead_letters_are_not_for_redis(sink: RedisSink) -> None:
    with pytest.raises(TypeError):
        sink.write([delivery(dead_letter())])


def test_waiting_ends_with_the_last_answer_or_the_time(sink: RedisSink, results: RedisResults) -> None:
    seen, enrolled = match(), enrolment()
    writer = Thread(target=sink.write, args=([delivery(seen), delivery(enrolled)],))
    writer.start()
    assert results.wait_for([seen.event_id, enrolled.event_id], timeout_s=10).keys() == {
        seen.event_id,
        enrolled.event_id,
    }
    writer.join()
    assert results.wait_for([new_event_id()], timeout_s=0.1) == {}


def test_following_begins_with_what_comes_next(sink: RedisSink, results: RedisResults, url: str) -> None:
    sink.write([delivery(match())])
    live, everyone = results.follow("ursula"), RedisResults(url).follow_all()
    later = match(sequence=2)
    got: list[str] = []
    readers = [Thread(target=lambda way=way: got.append(next(way).event["event_id"])) for way in (live, everyone)]  # type: ignore[misc]
    for reader in readers:
        reader.start()
    client = redis.Redis.from_url(url)
    wait_until(lambda: client.pubsub_numpat() == 1 and int(client.info("clients")["blocked_clients"]) == 1)
    sink.write([delivery(later)])
    for reader in readers:
        reader.join(5)
    assert got == [later.event_id] * 2


def test_answers_that_have_gone_are_forgotten(url: str) -> None:
    sink = RedisSink(url, result_ttl_s=1)
    old, new = match(), match()
    sink.write([delivery(old)])
    time.sleep(1.1)
    sink.write([delivery(new, 1)])
    client = redis.Redis.from_url(url, decode_responses=True)
    assert client.zrange("facestream:answers:{ursula}", 0, -1) == [f"facestream:result:{new.event_id}"]
    sink.close()
