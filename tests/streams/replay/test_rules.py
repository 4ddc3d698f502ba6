"""What a replay decides without any service: times, which events, how many at once, which resolution counts."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.clock import utc_now
from schemas.dead_letters import Resolution, ResolutionState
from schemas.embeddings import Embedding, FrameOrigin, UploadOrigin
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Mode, Picture, Upload
from schemas.parts import Source, Timings
from streams.dead_letters.store import counts
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.topics import Topic
from streams.privacy.erasures import Erasures
from streams.replay.errors import ReplayError
from streams.replay.filters import Replayable, ReplayFilter, stamped
from streams.replay.rate_control import CongestionWindow
from streams.replay.times import OLDEST, parse_time

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("now", NOW),
        ("oldest", OLDEST),
        ("-90s", NOW - timedelta(seconds=90)),
        ("-2h", NOW - timedelta(hours=2)),
        ("-1.5d", NOW - timedelta(days=1.5)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T10:30:00.5", datetime(2026, 11, 24, 10, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-11-24T10:30:00Z", datetime(2026, 11, 24, 10, 30, tzinfo=UTC)),
        ("2026-11-24T10:30:00+02:00", datetime(2026, 11, 24, 8, 30, tzinfo=UTC)),
    ],
)
def test_times(text: str, wanted: datetime) -> None:
    assert parse_time(text, NOW) == wanted


@pytest.mark.parametrize("text", ["yesterday", "", "2h", "-2x", "24.11.2026"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ReplayError, match="is no time: give ISO 8601"):
        parse_time(text, NOW)


def frame(user: str = "anna", camera: str = "door") -> Frame:
    return Frame(new_event_id(), user, camera, 1, utc_now(), Picture(data=b"x"))


def embedding(origin: UploadOrigin | FrameOrigin, model_version: str = "m1") -> Embedding:
    times = Timings(NOW, NOW, NOW)
    return Embedding(new_event_id(), "anna", origin, Source("frames", 0, 0), model_version, 1, 1, times)


def message(event: Any, topic: str = "frames") -> Message:
    value = event if isinstance(event, bytes) else codec.encode(event)
    key = b"anna" if isinstance(event, bytes) else event.user_id.encode()
    return Message(TopicPartition(topic, 2), 17, 1_000, key, value, (("trace", b"1"),))


def test_filters() -> None:
    one, other, gate = frame(), frame("otto"), frame(camera="gate")
    everything = [one, other, gate]

    def chosen(**filters: Any) -> list[Replayable | None]:
        selection = ReplayFilter(Topic.FRAMES, **filters)
        return [event for event in everything if selection.choose(message(event)) is not None]

    assert chosen() == everything
    assert chosen(users=["anna"]) == [one, gate]
    assert chosen(users=["anna"], camera_id="gate") == [gate]
    assert chosen(event_ids=[other.event_id, one.event_id]) == [one, other]
    assert chosen(users=["otto"], event_ids=[one.event_id]) == []


def test_embeddings_are_chosen_by_their_camera_and_model() -> None:
    upload = embedding(UploadOrigin("anna", NOW, Consent("door", NOW)))
    seen = embedding(FrameOrigin("door", 1, NOW, Mode.IDENTIFY), "m2")
    by_camera = ReplayFilter(Topic.EMBEDDINGS, camera_id="door")
    assert [by_camera.choose(message(event)) for event in (upload, seen)] == [None, seen]
    by_model = ReplayFilter(Topic.EMBEDDINGS, model_version="m1")
    assert [by_model.choose(message(event)) for event in (upload, seen)] == [upload, None]


def test_a_replay_and_what_is_no_event_are_passed_over() -> None:
    selection = ReplayFilter(Topic.FRAMES)
    assert selection.choose(message(replace(frame(), replay_id="r1"))) is None
    assert selection.unreadable == 0
    assert selection.choose(message(b"rubbish")) is None
    assert selection.unreadable == 1


def test_events_of_people_who_were_erased_after_them_stay_out() -> None:
    """The same rule by which the workers would refuse them."""
    erasures = Erasures()
    erasures.add(Erasure(new_event_id(), "anna", NOW), 1_000)
    erasures.add(Erasure(new_event_id(), "otto", NOW, "otto"), 2_000_000_000_000)
    frames = ReplayFilter(Topic.FRAMES, users=["anna", "otto"], erasures=erasures)
    early, late = message(frame()), replace(message(frame()), timestamp_ms=1_001)
    assert [frames.choose(one) is None for one in (early, late, message(frame("otto")))] == [True, False, False]
    verify = replace(frame("otto"), mode=Mode.VERIFY, subject_id="otto")
    assert frames.choose(message(verify)) is None
    assert (frames.erased, frames.unreadable, frames.missing) == (2, 0, set())

    all_of_them = ReplayFilter(Topic.EMBEDDINGS, erasures=erasures)
    of_otto = replace(embedding(UploadOrigin("otto", NOW, Consent("door", NOW))), user_id="otto")
    of_bert = replace(of_otto, user_id="bert")
    marked = [all_of_them.marked(message(one), "r1", False) is None for one in (of_otto, of_bert)]
    assert (marked, all_of_them.erased) == ([True, False], 1)


def test_who_was_not_met_is_named() -> None:
    one = frame()
    selection = ReplayFilter(Topic.FRAMES, users=["anna", "nobody"])
    selection.choose(message(one))
    with pytest.raises(ReplayError, match=r"there is no user 'nobody' on frames.*nothing was sent"):
        selection.check_found()
    missing = new_event_id()
    with pytest.raises(ReplayError, match=f"no event {missing}"):
        ReplayFilter(Topic.FRAMES, event_ids=[missing]).check_found()


def test_a_replayed_event_knows_where_it_first_came_in() -> None:
    one = frame()
    sent = codec.decode(stamped(one, message(one), "r1", corrects=True), Frame)
    assert sent == replace(
        one, source=Source("frames", 2, 17), produced_at=codec.from_micros(1_000_000), replay_id="r1", corrects=True
    )
    upload = Upload(new_event_id(), "anna", "anna", NOW, Picture(data=b"x"), Consent("door", NOW))
    assert codec.decode(stamped(upload, message(upload), "r1", corrects=False), Upload).source is not None
    vectors = embedding(FrameOrigin("door", 1, NOW, Mode.IDENTIFY))
    again = codec.decode(stamped(vectors, message(vectors), "r1", corrects=False), Embedding)
    assert again == replace(vectors, replay_id="r1")


def test_an_embedding_is_marked_as_it_would_be_decoded_and_stamped() -> None:
    vectors = embedding(FrameOrigin("door", 1, NOW, Mode.IDENTIFY))
    ready = vectors.event_id, stamped(vectors, message(vectors), "r1", corrects=True)
    assert ReplayFilter(Topic.EMBEDDINGS).marked(message(vectors), "r1", True) == ready
    assert ReplayFilter(Topic.EMBEDDINGS, camera_id="door").marked(message(vectors), "r1", True) == ready
    assert ReplayFilter(Topic.EMBEDDINGS, camera_id="gate").marked(message(vectors), "r1", True) is None
    for selection in (ReplayFilter(Topic.EMBEDDINGS), ReplayFilter(Topic.EMBEDDINGS, users=["anna"])):
        assert selection.marked(message(replace(vectors, replay_id="r0")), "r1", True) is None
        assert selection.marked(message(b"rubbish"), "r1", True) is None
        assert selection.unreadable == 1


class Workers:
    """Workers that take ``alone_s`` for one event, and ``more_s`` longer for each replayed one that is under way."""

    def __init__(self, window: CongestionWindow, alone_s: float, more_s: float) -> None:
        self.window = window
        self.alone_s, self.more_s = alone_s, more_s
        self.now = 0.0
        self._noise = random.Random(1)

    def run(self, seconds: float, live_per_s: float = 0.0) -> list[int]:
        """How many replayed events were under way, at each round."""
        sizes, until, live = [], self.now + seconds, 0.0
        while self.now < until:
            size = self.window.room(self.now, 0)
            took = self.alone_s + self.more_s * size
            self.now += took
            live += took * live_per_s
            while live >= 1:
                live -= 1
                self.window.live(self.now, took * self._noise.uniform(0.8, 1.2))
            for _ in range(size):
                self.window.answered(took * self._noise.uniform(0.9, 1.1), self.now)
            sizes.append(size)
        return sizes


def middle(sizes: list[int]) -> int:
    """The median once it has settled."""
    steady = sorted(sizes[len(sizes) // 2 :])
    return steady[len(steady) // 2]


def test_workers_are_kept_busy_where_nothing_live_passes() -> None:
    slow, fast = CongestionWindow(512), CongestionWindow(64)
    assert set(Workers(slow, 0.01, 0.01).run(20)) == {512}
    answered = Workers(fast, 0.01, 0.0005).run(20)
    assert answered[0] == 64
    assert answered[-1] == pytest.approx(1990, rel=0.1), "what they answer in a second"
    assert not fast.beside_live


def test_at_first_live_events_are_listened_to() -> None:
    window = CongestionWindow(512)
    window.live(0.0)
    workers = Workers(window, 0.02, 0.001)
    assert set(workers.run(0.5, live_per_s=30)) == {0}
    assert window.beside_live


@pytest.mark.parametrize("live_per_s", [1, 30, 200])
def test_the_window_keeps_the_delay_of_live_events_small(live_per_s: float) -> None:
    window = CongestionWindow(512)
    window.live(0.0)
    sizes = Workers(window, alone_s=0.02, more_s=0.001).run(60, live_per_s)
    assert 1 <= middle(sizes) <= 10  # at 10, twenty milliseconds have become thirty
    assert max(sizes) <= 16


def test_where_one_event_is_too_much_the_next_one_rests() -> None:
    window = CongestionWindow(512)
    window.live(0.0)
    sizes = Workers(window, alone_s=0.01, more_s=0.01).run(60, live_per_s=30)
    assert 0 < sum(sizes) < len(sizes) / 2


def test_the_window_grows_where_workers_have_room() -> None:
    window = CongestionWindow(512)
    window.live(0.0)
    assert middle(Workers(window, 0.02, 0.00001).run(60, live_per_s=30)) > 100


def test_the_window_shrinks_when_the_workers_become_slow() -> None:
    window = CongestionWindow(512)
    window.live(0.0)
    workers = Workers(window, 0.02, 0.0001)
    before = middle(workers.run(15, live_per_s=30))
    workers.more_s = 0.01
    assert middle(workers.run(6, live_per_s=30)) < before / 4


def test_what_live_events_take_by_themselves_is_heard_again() -> None:
    window = CongestionWindow(512)
    window.live(0.0)
    workers = Workers(window, 0.02, 0.00001)
    workers.run(15, live_per_s=30)
    workers.alone_s = 0.1
    assert middle(workers.run(60, live_per_s=30)) > 100


def test_when_live_events_end_the_window_opens() -> None:
    window = CongestionWindow(512)
    window.live(0.0)
    workers = Workers(window, 0.02, 0.001)
    assert max(workers.run(10, live_per_s=30)) < 512
    assert workers.run(31)[-1] >= 512


def test_a_rate_that_was_asked_for_does_not_mind_live_events() -> None:
    window = CongestionWindow(512, gentle=False)
    assert min(Workers(window, 0.02, 0.001).run(5, live_per_s=30)) == 512


def resolution(replay_id: str, state: ResolutionState, retries: str | None = None) -> Resolution:
    return Resolution(new_event_id(), "letter", replay_id, state, "frames", NOW, retries)


RESOLUTIONS = st.builds(
    resolution,
    st.sampled_from(["r1", "r2", "r3"]),
    st.sampled_from(ResolutionState),
    st.none() | st.sampled_from(["r1", "r2", "r3"]),
)


@given(st.lists(RESOLUTIONS, min_size=1, max_size=12))
def test_a_letter_has_one_owner_at_a_time(written: list[Resolution]) -> None:
    known: Resolution | None = None
    for new in written:
        before, known = known, counts(known, new)
        if before is None:
            assert known is new
        elif before.state is ResolutionState.SENT:
            assert known is before
        elif before.state is ResolutionState.DISMISSED:
            assert known is (new if new.state is ResolutionState.SENT else before)
        elif known is not before:
            final = known.state in (ResolutionState.SENT, ResolutionState.DISMISSED)
            assert final or known.retries == before.replay_id


def test_the_first_of_two_replays_has_the_letter() -> None:
    first, second = resolution("r1", ResolutionState.SENDING), resolution("r2", ResolutionState.SENDING)
    assert counts(first, second) is first
    takes_over = resolution("r3", ResolutionState.SENDING, retries="r1")
    assert counts(first, takes_over) is takes_over
    assert counts(takes_over, resolution("r4", ResolutionState.SENDING, retries="r1")) is takes_over
