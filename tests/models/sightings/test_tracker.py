from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from models.sightings import tracker
from models.sightings.observation import Observation, ObservedFrame, SamePerson
from models.sightings.tracker import TrackerPlan
from models.sightings.votes import leader, weight_of, with_vote
from schemas import codec
from schemas.parts import UNMEASURED, Box
from schemas.sightings import OpenSightings, Sighting, SightingState, Vote

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAN = TrackerPlan(timedelta(seconds=5), timedelta(seconds=2))
SAME = SamePerson(0.9, 1.0)
ENDS = {SightingState.END}


def vector(person: int, noise: int = 0) -> bytes:
    """One person's faces are about 0.3 apart, those of two people about 1.4."""
    made = np.zeros(16)
    made[person] = 1
    return (made + np.random.default_rng(100 * person + noise).normal(0, 0.05, 16)).astype("<f4").tobytes()


def face(person: int, number: int = 0, subject: str | None = None, x: float = 0.0, noise: int = 0) -> Observation:
    box = Box(x, 0.0, 100.0, 100.0)
    return Observation(number, box, 0.5, vector(person, noise), True, subject, 0.75 if subject else None)


def frame(number: int, at_s: float, *faces: Observation, produced: int | None = None) -> ObservedFrame:
    at = START + timedelta(seconds=at_s)
    order = number if produced is None else produced
    return ObservedFrame(
        event_id=f"00000000-0000-0000-0000-{number:012d}",
        at=at,
        source_offset=order,
        produced_at=START + timedelta(milliseconds=order),
        decided_at=at + timedelta(milliseconds=20),
        model_version="v1",
        faces=faces,
        same_person=SAME,
    )


def run(
    frames: Sequence[ObservedFrame], known: OpenSightings | None = None, *, stored: bool = False
) -> tuple[OpenSightings, list[Sighting]]:
    told: list[Sighting] = []
    for one in frames:
        known, more = tracker.step(known or tracker.nothing_known("u", "c", one), one, PLAN)
        if stored:
            known = codec.decode(codec.encode(known), OpenSightings)
        told += more
    assert known is not None
    return known, told


def states(told: Sequence[Sighting]) -> list[tuple[str, str | None]]:
    return [(one.state.value, one.subject_id) for one in told]


def seconds(at: datetime) -> float:
    return (at - START).total_seconds()


def test_a_camera_whose_clock_stands_still_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of it would become too large to be written, and hold up all other cameras of the worker."""
    monkeypatch.setattr(tracker, "_TRACKS", 3)
    known, told = run([frame(n, 0.0, face(n, subject=f"person {n}", x=200.0 * n)) for n in range(6)])
    assert [one.told_subject_id for one in known.tracks] == ["person 3", "person 4", "person 5"]
    ends = [one.subject_id for one in told if one.state in ENDS]
    assert ends == ["person 0", "person 1", "person 2"]


def test_a_person_comes_stays_and_goes() -> None:
    frames = [frame(n, n / 2, face(1, subject="anna", x=5 * n, noise=n)) for n in range(9)]
    frames += [frame(n, n / 2) for n in range(9, 21)]
    known, told = run(frames)
    assert states(told) == [("begin", "anna"), ("update", "anna"), ("update", "anna"), ("end", "anna")]
    assert [one.number for one in told] == [0, 1, 2, 3]
    assert len({one.sighting_id for one in told}) == 1 and len({one.change_id for one in told}) == 4
    end = told[-1]
    assert (seconds(end.first_seen_at), seconds(end.last_seen_at), end.frames) == (0, 4, 9)
    assert end.share == 1 and end.similarity == 0.75 and end.stranger_id is None
    assert known.tracks == []


def test_a_sighting_does_not_end_before_the_gap_is_over() -> None:
    anna = face(1, subject="anna")
    _, told = run([frame(0, 0, anna), frame(1, 5, anna), frame(2, 10), frame(3, 10.001)])
    assert [seconds(one.decided_at) for one in told if one.state in ENDS] == [pytest.approx(10.021)]


def test_somebody_unknown_has_a_temporary_name_that_returns_within_the_hour() -> None:
    def visit(number: int, at_s: float) -> list[ObservedFrame]:
        return [frame(number + n, at_s + n, face(3, noise=number + n)) for n in range(3)] + [
            frame(number + 9, at_s + 9)
        ]

    _, told = run([*visit(0, 0), *visit(20, 100), *visit(40, 4000)])
    names = [one.stranger_id for one in told if one.state is SightingState.BEGIN]
    assert len(names) == 3 and names[0] is not None
    assert names[0] == names[1] != names[2]
    assert len({one.sighting_id for one in told}) == 3


def test_a_single_face_that_nobody_knows_is_not_told_of() -> None:
    assert run([frame(0, 0, face(1)), frame(1, 20)])[1] == []


def test_who_it_is_is_voted_and_a_change_is_told_at_once() -> None:
    frames = [frame(0, 0, face(1)), frame(1, 0.1, face(1)), frame(2, 0.2, face(1, subject="anna"))]
    _, told = run(frames)
    assert states(told) == [("begin", None), ("update", "anna")]
    assert told[0].stranger_id and told[1].stranger_id is None
    assert told[1].share == pytest.approx(1 / 3)


def test_one_wrong_name_does_not_win_over_many_right_ones() -> None:
    frames = [frame(n, n / 10, face(1, subject="otto" if n == 5 else "anna")) for n in range(10)]
    _, told = run([*frames, frame(10, 30)])
    assert {one.subject_id for one in told} == {"anna"}
    assert told[-1].share == pytest.approx(0.9)


def test_two_people_who_cross_keep_their_sightings() -> None:
    frames = []
    for n in range(21):
        left, right = face(1, 0, "anna", x=20 * n, noise=n), face(2, 1, None, x=400 - 20 * n, noise=n)
        # They are listed by size, which changes.
        frames.append(frame(n, n / 5, *((left, right) if n % 3 else (replace(right, face=0), replace(left, face=1)))))
    _, told = run([*frames, frame(30, 20)])
    ends = sorted((str(one.subject_id), one.frames) for one in told if one.state in ENDS)
    assert ends == [("None", 21), ("anna", 21)]


def test_a_face_without_a_vector_prolongs_a_sighting_but_begins_none() -> None:
    turned = Observation(0, Box(2, 2, 100, 100), 0.1)
    _, told = run([frame(0, 0, face(1, subject="anna")), frame(1, 1, turned), frame(2, 20)])
    assert (seconds(told[-1].last_seen_at), told[-1].frames, told[-1].share) == (1, 2, 1)
    assert run([frame(0, 0, turned), frame(1, 0.1, turned), frame(2, 20)])[1] == []


def test_somebody_else_at_the_same_place_is_another_sighting() -> None:
    frames = [frame(0, 0, face(1, subject="anna")), frame(1, 0.1, face(2)), frame(2, 0.2, face(2)), frame(3, 20)]
    _, told = run(frames)
    assert len({one.sighting_id for one in told}) == 2


def test_a_face_that_overlaps_the_last_one_may_look_less_like_it() -> None:
    def alike(distance: float) -> bytes:
        made = np.zeros(16)
        made[:2] = 1 - distance**2 / 2, np.sqrt(1 - (1 - distance**2 / 2) ** 2)
        return made.astype("<f4").tobytes()

    first = replace(face(0, subject="anna"), vector=alike(0))
    for distance, x, sightings in ((0.85, 500, 1), (0.95, 500, 2), (0.95, 20, 1), (1.05, 20, 2)):
        later = [replace(face(0, x=x), vector=alike(distance)) for _ in range(2)]
        _, told = run([frame(0, 0, first), frame(1, 0.1, later[0]), frame(2, 0.2, later[1])])
        assert len({one.sighting_id for one in told}) == sightings, (distance, x)


def test_vectors_of_two_model_versions_are_not_compared() -> None:
    other = replace(frame(1, 0.1, face(1, subject="anna")), model_version="v2")
    stranger = replace(frame(2, 0.2, face(1, x=500)), model_version="v1")
    _, told = run([frame(0, 0, face(1, subject="anna")), other, stranger, frame(3, 20)])
    # The name joins the first two; the third is known by no vector.
    assert [one.frames for one in told if one.state in ENDS] == [2]


def test_a_frame_that_comes_again_changes_nothing() -> None:
    frames = [frame(n, n / 2, face(1, subject="anna", noise=n)) for n in range(12)]
    known, told = run(frames)
    assert run(frames[6:], known) == (known, [])
    again = replace(frames[-1], source_offset=99, produced_at=START + timedelta(hours=1))
    assert run([again], known) == (known, []), "its producer sent it twice"
    assert len({one.change_id for one in told}) == len(told)


def test_late_frames_count_within_the_gap_and_no_longer() -> None:
    anna = face(1, subject="anna")
    known, _ = run([frame(1, 1, anna), frame(2, 4, anna), frame(3, 0.5, anna), frame(4, 3, anna)])
    assert (seconds(known.tracks[0].first_seen_at), seconds(known.tracks[0].last_seen_at)) == (0.5, 4)
    assert known.tracks[0].frames == 4
    same, more = run([frame(5, -2, anna)], known)
    assert (same.tracks, same.late, more) == (known.tracks, 1, [])


def test_a_clock_that_is_set_back_begins_anew() -> None:
    anna = face(1, subject="anna")
    frames = [frame(0, 1000, anna), frame(1, 1001, anna)]
    frames += [frame(2 + n, n / 10, anna) for n in range(40)]
    known, told = run(frames)
    assert [one.state.value for one in told[:3]] == ["begin", "end", "begin"]
    assert seconds(known.seen_at) == pytest.approx(3.9)


def random_frames(seed: int) -> list[ObservedFrame]:
    """People who come, cross, turn and go, before a camera whose frames are late or come twice now and then."""
    chance = random.Random(seed)
    frames, at = [], 0.0
    visits = {person: (chance.uniform(0, 40), chance.uniform(1, 15)) for person in range(6)}
    for n in range(150):
        at += chance.choice([0.1, 0.3, 0.3, 1.0, 7.0])
        faces = []
        for person, (since, lasts) in visits.items():
            if since <= at < since + lasts:
                subject = f"s{person}" if person < 3 and chance.random() < 0.7 else None
                one = face(person, len(faces), subject, x=20.0 * chance.randint(0, 20), noise=n)
                faces.append(one if chance.random() < 0.9 else replace(one, vector=None, votes=False))
        frames.append(frame(n, at - (chance.uniform(0, 8) if chance.random() < 0.2 else 0), *faces))
        if chance.random() < 0.1:
            frames.append(chance.choice(frames))
    return frames


@pytest.mark.parametrize("seed", range(25))
def test_it_does_not_matter_where_another_worker_goes_on(seed: int) -> None:
    frames, chance = random_frames(seed), random.Random(seed)
    whole = run(frames)
    assert whole == run(frames), "the same frames give the same"
    assert whole == run(frames, stored=True), "what is stored is all that is known"
    cut, back = chance.randrange(1, len(frames)), chance.randrange(0, 20)
    known, first = run(frames[:cut])
    known, second = run(frames[max(0, cut - back) :], known)
    assert (known, first + second) == whole, "what is read again is recognised"


@pytest.mark.parametrize("seed", range(25))
def test_every_sighting_begins_once_and_ends_once_in_order(seed: int) -> None:
    known, told = run(random_frames(seed))
    told += tracker.ended(known, START)[1]
    assert len({one.change_id for one in told}) == len(told)
    for sighting_id in {one.sighting_id for one in told}:
        mine = [one for one in told if one.sighting_id == sighting_id]
        assert [one.number for one in mine] == list(range(len(mine)))
        assert [one.state.value for one in mine] == ["begin", *["update"] * (len(mine) - 2), "end"]
        assert [one.frames for one in mine] == sorted(one.frames for one in mine)
        assert all(one.first_seen_at <= one.last_seen_at for one in mine)
        assert all((one.subject_id is None) != (one.stranger_id is None) for one in mine)


def test_an_erased_subject_is_told_of_no_more() -> None:
    frames = [frame(n, n / 2, face(1, 0, "anna"), face(2, 1, "otto", x=300)) for n in range(3)]
    known, _ = run(frames)
    assert tracker.names(known, "anna")
    known = tracker.without(known, "anna")
    assert not tracker.names(known, "anna") and known.strangers == []
    _, told = run([frame(9, 30)], known)
    assert states(told) == [("end", "otto")]


def test_a_sighting_has_one_end_whatever_its_number() -> None:
    """If an erasure takes frames away, a successor may count other updates than its predecessor has told of."""
    anna = face(1, subject="anna")
    _, told = run([*(frame(n, n, anna) for n in range(5)), frame(5, 30)])
    _, other = run([frame(0, 0, anna), frame(5, 30)])
    assert told[-1].number != other[-1].number
    assert told[-1].change_id == other[-1].change_id


def test_votes() -> None:
    assert leader([]).subject_id is None
    votes = [Vote(0.5, "anna", 0.6), Vote(0.9, None)]
    assert leader(votes).subject_id == "anna"
    assert leader([Vote(0.4, "anna"), Vote(0.9, None)]) == Vote(pytest.approx(9 / 13))
    assert with_vote(votes, face(1, subject="anna"))[0] == Vote(1.0, "anna", 0.75)
    assert with_vote(votes, Observation(0, Box(0, 0, 1, 1), 1.0)) == votes
    good = replace(UNMEASURED, overall=0.8)
    assert weight_of(good, Box(0, 0, 56, 112)) == pytest.approx(0.4)
    assert weight_of(good, Box(0, 0, 500, 500)) == pytest.approx(0.8)
    assert weight_of(UNMEASURED, Box(0, 0, 500, 500)) == 0.01
