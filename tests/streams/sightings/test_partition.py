"""The cameras of a partition: what a successor makes of what is written, and when silent cameras end."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from models.sightings.observation import ObservedFrame
from models.sightings.tracker import TrackerPlan
from schemas import codec
from schemas.embeddings import Embedding, Face, FrameOrigin, OtherVector
from schemas.ingest import Mode
from schemas.parts import UNMEASURED, Box, Decision, Source
from schemas.sightings import OpenSightings, Sighting, SightingState
from streams.sightings.observations import FrameVectors, is_of_a_live_frame, observed, taken_at
from streams.sightings.open_log import CameraKey
from streams.sightings.partition import CameraPartition, SavedTo
from tests.models.sightings.test_tracker import START, face, frame
from tests.sinks.examples import NOW, match, timings

PLAN = TrackerPlan(timedelta(seconds=10), timedelta(seconds=10))
BEGINNING = SavedTo(0, 0, START - timedelta(days=99))
Log = list[tuple[CameraKey, ObservedFrame]]


def key(camera: int) -> CameraKey:
    return CameraKey("u", f"c{camera}")


def read(partition: CameraPartition, log: Log, offsets: Iterable[int]) -> list[Sighting]:
    for offset in offsets:
        partition.read(offset)
        partition.see(*log[offset], offset, PLAN)
    told, partition.told = partition.told, []
    return told


def written(partition: CameraPartition) -> dict[CameraKey, OpenSightings | None]:
    """What a save writes, as it comes back from the topic."""
    return {
        at: None if known is None else codec.decode(codec.encode(known), OpenSightings)
        for at, known in partition.records()
    }


def made_log(seed: int) -> Log:
    """Frames of three cameras, of which one pauses for long."""
    chance, log, at = random.Random(seed), [], 0.0
    for n in range(200):
        at += chance.choice([0.5, 1, 20, 60])
        camera = chance.randrange(3) if n % 50 < 25 else chance.randrange(2)
        people = [face(person, 0, f"s{person}", noise=n) for person in range(3) if chance.random() < 0.6][:1]
        log.append((key(camera), frame(n, at, *people)))
    return log


@pytest.mark.parametrize("seed", range(20))
def test_a_successor_finds_the_same_wherever_its_predecessor_died(seed: int) -> None:
    log, chance = made_log(seed), random.Random(seed)
    whole = read(CameraPartition(BEGINNING), log, range(len(log)))
    saved_at, died_at = sorted(chance.sample(range(1, len(log)), 2))
    first = CameraPartition(BEGINNING)
    told = read(first, log, range(saved_at))
    cameras = {at: one for at, one in written(first).items() if one is not None}
    note = SavedTo.read(SavedTo(first.next_offset, 0, first.clock).note)
    assert note == SavedTo(saved_at, 0, first.clock)
    told += read(first, log, range(saved_at, died_at))
    # It dies while it writes again: some cameras are newer than the note.
    newer = {at: one for at, one in written(first).items() if one is not None and chance.random() < 0.5}
    successor = CameraPartition(note, cameras | newer)
    told += read(successor, log, range(saved_at, len(log)))
    assert {one.change_id: one for one in told} == {one.change_id: one for one in whole}
    assert len({one.change_id for one in whole}) == len(whole)
    assert any(one.state is SightingState.END for one in whole)


def test_a_camera_that_sends_nothing_more_ends_by_the_time_of_the_others() -> None:
    log: Log = [(key(0), frame(0, 0, face(1, subject="anna"))), (key(1), frame(1, 299)), (key(1), frame(2, 300))]
    partition = CameraPartition(BEGINNING)
    assert [one.state.value for one in read(partition, log, range(2))] == ["begin"]
    (end,) = read(partition, log, [2])
    assert (end.state, end.camera_id, end.decided_at) == (SightingState.END, "c0", log[2][1].decided_at)
    assert end.last_seen_at == START


def test_a_camera_that_is_behind_is_not_ended_by_one_that_is_not() -> None:
    anna = face(1, subject="anna")
    log: Log = [(key(0), frame(0, 0, anna)), (key(1), frame(1, 9_000)), (key(0), frame(2, 1, anna))]
    log += [(key(1), frame(3, 9_001)), (key(0), frame(4, 2, anna))]
    partition = CameraPartition(BEGINNING)
    told = read(partition, log, range(len(log)))
    # The jump of the time itself ends what was there before it, once.
    assert [one.state.value for one in told] == ["begin", "end", "begin"]


def test_a_successor_begins_with_the_time_of_its_predecessor() -> None:
    anna = face(1, subject="anna")
    log: Log = [(key(1), frame(0, 9_000)), (key(0), frame(1, 1, anna)), (key(1), frame(2, 9_001))]
    log.append((key(0), frame(3, 2, anna)))
    first = CameraPartition(BEGINNING)
    read(first, log, [0])
    note = SavedTo.read(SavedTo(first.next_offset, 0, first.clock).note)
    assert note is not None
    told = read(CameraPartition(note, dict(first.cameras)), log, range(1, 4))
    assert [one.state.value for one in told] == ["begin"], "it is behind, and not silent"


def test_a_camera_that_is_long_gone_is_forgotten() -> None:
    log: Log = [(key(0), frame(0, 0)), (key(1), frame(1, 90_000))]
    partition = CameraPartition(BEGINNING)
    read(partition, log, range(2))
    assert {at: one is None for at, one in written(partition).items()} == {key(0): True, key(1): False}


def test_erasing_counts_and_drops() -> None:
    anna, otto = face(1, 0, "anna"), face(2, 1, "otto", x=300)
    log: Log = [(key(0), frame(0, 0, anna, otto)), (key(1), frame(1, 0, otto))]
    log.append((CameraKey("other", "c0"), frame(2, 0, anna)))
    partition = CameraPartition(BEGINNING)
    for offset, one in enumerate(log):
        partition.see(*one, offset, PLAN)
    assert partition.erase("u", "anna") == 1
    assert [(one.user_id, one.subject_id) for one in partition.told] == [
        ("u", "otto"),
        ("u", "otto"),
        ("other", "anna"),
    ]
    assert "anna" not in str(written(partition)[key(0)]) and "otto" in str(written(partition)[key(0)])
    assert partition.erase_user("u") == 2
    assert [one.user_id for one in partition.told] == ["other"]
    assert {at: one is None for at, one in written(partition).items()} == {
        key(0): True,
        key(1): True,
        CameraKey("other", "c0"): False,
    }


def test_a_topic_that_was_created_again_is_counted_from_its_beginning() -> None:
    partition = CameraPartition(BEGINNING)
    read(partition, [(key(0), frame(0, 0))] * 10, range(10))
    assert partition.cameras[key(0)].next_offset == 10
    partition.read_anew()
    assert partition.cameras[key(0)].next_offset == 0


def test_a_note_that_is_none_is_not_read() -> None:
    assert [SavedTo.read(text) for text in ("", "5", "[1]", "[1, 2, null]")] == [None] * 4


def test_only_live_frames_of_cameras_make_sightings() -> None:
    assert is_of_a_live_frame(match())
    for other in (
        match(replay_id="r1"),
        match(replay_id="r1", corrects=True),
        match(mode=Mode.SEARCH),
        match(camera_id=""),
    ):
        assert not is_of_a_live_frame(other)


def test_a_frame_is_not_taken_after_it_arrived() -> None:
    ahead = match(captured_at=NOW + timedelta(hours=3))
    assert taken_at(ahead) == ahead.timings.received_at
    behind = match(captured_at=NOW - timedelta(hours=3))
    assert taken_at(behind) == behind.captured_at


def test_vectors_are_those_of_the_version_that_answered() -> None:
    others = [OtherVector("v2", b"2222")]
    faces = [
        Face(Box(0, 0, 9, 9), [], UNMEASURED, vector=b"1111", others=others),
        Face(Box(9, 9, 9, 9), [], UNMEASURED),
    ]
    embedding = Embedding(
        "e", "u", FrameOrigin("c", 1, NOW, Mode.IDENTIFY), Source("frames", 0, 1), "v1", 9, 9, timings(), faces
    )
    answer = match()
    answer = replace(answer, faces=[answer.faces[0], replace(answer.faces[0], decision=Decision.REFUSED)])
    vectors = FrameVectors.of(embedding)
    found = {
        version: [one.vector for one in observed(replace(answer, model_version=version), vectors, None).faces]
        for version in ("v1", "v2", "v3")
    }
    assert found == {"v1": [b"1111", None], "v2": [b"2222", None], "v3": [None, None]}
    assert [one.votes for one in observed(answer, None, None).faces] == [True, False]
