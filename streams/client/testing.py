"""A client for the tests of applications: the same interface, in memory, with answers that the test writes."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from enum import Enum

from models.pictures.formats import format_of
from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter
from schemas.ids import canonical, new_event_id
from schemas.ingest import Frame, Mode, Upload
from schemas.parts import Box, Decision, Quality, Refusal, Source, Timings
from schemas.reasons import Reason
from schemas.results import Candidate, Enrolment, Match, MatchedFace, Outcome, SearchCoverage
from streams.client.answers import Answer
from streams.client.base import BaseClient, event_id_of
from streams.client.delivery_report import Delivered, DeliveryHandle
from streams.client.errors import AnswerTimeout, ClientClosed, DeadLettered, FacestreamError
from streams.client.settings import ClientOptions, ClientSettings
from streams.client.validation import checked_event
from streams.kafka.topics import Topic

MODEL = "fake"
_STAGE_OF_FAKE = "embed"


class NoAnswer(Enum):
    """See :data:`NO_ANSWER`."""

    NO_ANSWER = "no answer"


NO_ANSWER = NoAnswer.NO_ANSWER
"""A script may return this: the call then ends with :class:`AnswerTimeout` at once."""

Scripted = Answer | Exception | NoAnswer | None
Script = Callable[[Upload | Frame], Scripted]


class FakeClient(BaseClient):
    """A client whose answers the test writes; what it does not write, a simple facestream in memory answers.

    That one enrols every photo, and recognises a frame only if the very same bytes were enrolled for its user. It
    checks arguments as the real client does: a picture has to begin like a file of one of the formats. An event given
    to :meth:`send` with another picture is refused (``undecodable``).

    Example:
        >>> from streams.client.testing import FakeClient, refused
        >>> client = FakeClient(lambda event: refused(event, "no_face") if event.user_id == "otto" else None)
        >>> client.ask("otto", b"GIF89a", consent="door").refusal.reason
        'no_face'
        >>> client.ask("anna", b"GIF89a", consent="door").outcome.value
        'enrolled'
        >>> [event.user_id for event in client.sent]
        ['otto', 'anna']
    """

    def __init__(self, script: Script | None = None, settings: ClientOptions | None = None) -> None:
        """Prepare a client with an empty gallery.

        Args:
            script: called with every upload and frame; gives its answer, an exception to raise from ``ask`` and
                ``answer``, :data:`NO_ANSWER`, or None for the answer of the simple facestream. It can be exchanged.
            settings: what is allowed; default: the defaults, whatever the environment says.
        """
        super().__init__(settings or ClientSettings())
        self.script = script
        self.sent: list[Upload | Frame] = []
        """Every event, in the order in which they were sent."""
        self._changed = threading.Condition()
        self._answers: dict[str, Answer | Exception | NoAnswer] = {}
        self._live: defaultdict[str, list[Answer]] = defaultdict(list)
        self._templates: defaultdict[tuple[str, str], dict[bytes | str | None, str]] = defaultdict(dict)
        self._latest: dict[tuple[str, str], Match] = {}
        self._offsets: Counter[str] = Counter()
        self._closed = False

    def send(self, event: Upload | Frame, *, timeout_s: float | None = None) -> DeliveryHandle:
        """Take an event, and answer it."""
        if self._closed:
            raise ClientClosed("this client is closed: make a new one")
        event = checked_event(event, self.settings)
        topic = str(Topic.UPLOADS if isinstance(event, Upload) else Topic.FRAMES)
        handle = DeliveryHandle(event.event_id, event.user_id, topic)
        with self._changed:
            self.sent.append(event)
            if event.event_id not in self._answers:  # the same id twice has one effect
                scripted = self.script(event) if self.script is not None else None
                self._note(event, self._simple(event) if scripted is None else scripted)
            offset = self._offsets[topic]
            self._offsets[topic] += 1
            self._changed.notify_all()
        handle.future.set_result(Delivered(topic, 0, offset))
        return handle

    def answer_future(self, sent: DeliveryHandle | str) -> Future[Answer]:
        """The answer; it is there at once."""
        if self._closed:
            raise ClientClosed("this client is closed: make a new one")
        future: Future[Answer] = Future()
        answer = self._answers.get(event_id_of(sent), NO_ANSWER)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        elif isinstance(answer, NoAnswer):
            future.set_exception(self.late(sent, 0))
        else:
            future.set_result(answer)
        return future

    def late(self, sent: DeliveryHandle | str, timeout_s: float) -> FacestreamError:
        """What to say of an event without an answer."""
        event_id = event_id_of(sent)
        return AnswerTimeout(f"event {event_id} has no answer in the test", event_id)

    def latest(self, user_id: str, camera_id: str) -> Match | None:
        """The newest match of a camera, or None."""
        return self._latest.get((canonical(user_id), canonical(camera_id)))

    def subjects(self, user_id: str) -> dict[str, int]:
        """The user's enrolled subjects and how many templates each has."""
        return {
            subject: len(of) for (user, subject), of in self._templates.items() if user == canonical(user_id) and of
        }

    def follow(self, user_id: str, *, kept: bool = False, timeout_s: float | None = None) -> Iterator[Answer]:
        """Yield a user's answers as they come, in order; with ``kept`` first those that were there."""
        live = self._live[canonical(user_id)]
        return self._follow(live, 0 if kept else len(live), timeout_s)

    def flush(self, timeout_s: float | None = None) -> None:
        """Do nothing: every event has its delivery report."""

    def close(self, timeout_s: float = 30.0) -> None:
        """Take no more events."""
        self._closed = True

    def _follow(self, live: list[Answer], at: int, timeout_s: float | None) -> Iterator[Answer]:
        while True:
            deadline = None if timeout_s is None else time.monotonic() + timeout_s
            with self._changed:
                while at >= len(live):
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        return
                    self._changed.wait(left)
                answer = live[at]
            at += 1
            yield answer

    def _note(self, event: Upload | Frame, answer: Answer | Exception | NoAnswer) -> None:
        self._answers[event.event_id] = answer
        if isinstance(answer, Match):
            self._latest[answer.user_id, answer.camera_id] = answer
        elif isinstance(answer, Enrolment) and isinstance(event, Upload) and answer.outcome is Outcome.ENROLLED:
            of_subject = self._templates[answer.user_id, answer.subject_id]
            of_subject.setdefault(_content(event), event.event_id)
        if isinstance(answer, Enrolment | Match):
            self._live[answer.user_id].append(answer)

    def _simple(self, event: Upload | Frame) -> Answer:
        data = event.picture.data
        if data is not None and format_of(data) is None:
            return refused(event, Reason.UNDECODABLE)
        if isinstance(event, Upload):
            there = self._templates[event.user_id, event.subject_id]
            repeats = there.get(_content(event))
            return replace(enrolled(event, len(there) + (repeats is None)), repeats=repeats)
        people = [names for names, of_subject in self._templates.items() if _content(event) in of_subject]
        if event.mode is Mode.SEARCH:
            return found(event, *sorted(people))
        subjects = [subject for user, subject in people if user == event.user_id]
        if event.mode is Mode.VERIFY:
            subjects = [subject for subject in subjects if subject == (event.subject_id or event.user_id)]
        return recognised(event, subjects[0]) if subjects else unknown(event)


def enrolled(upload: Upload, templates: int = 1) -> Enrolment:
    """The outcome of an upload that was enrolled."""
    return Enrolment(
        event_id=upload.event_id,
        user_id=upload.user_id,
        subject_id=upload.subject_id,
        created_at=upload.created_at,
        outcome=Outcome.ENROLLED,
        source=Source(Topic.UPLOADS.value, 0, 0),
        model_version=MODEL,
        templates=templates,
        timings=_timings(),
        decided_at=utc_now(),
        box=_BOX,
        quality=_QUALITY,
    )


def refused(event: Upload | Frame, reason: Reason | str, detail: str = "refused by the test") -> Answer:
    """The answer to a photo or frame that is refused as a whole."""
    refusal = Refusal(str(reason), detail)
    if isinstance(event, Frame):
        return replace(_match(event, []), refusal=refusal)
    return replace(enrolled(event, 0), outcome=Outcome.REFUSED, refusal=refusal, box=None, quality=None)


def recognised(frame: Frame, *subject_ids: str, similarity: float = 0.9) -> Match:
    """The answer to a frame on which these subjects are, one face each."""
    return _match(
        frame,
        [
            MatchedFace(
                _BOX,
                [],
                _QUALITY,
                Decision.MATCH,
                subject_id,
                candidates=[Candidate(subject_id, similarity, 1 - similarity, 1e-6)],
            )
            for subject_id in subject_ids
        ],
    )


def found(frame: Frame, *people: tuple[str, str], similarity: float = 0.9) -> Match:
    """The answer to a search over all users for one face: these users and subjects, all as near."""
    listed = [Candidate(subject, similarity, 1 - similarity, 1e-6, user) for user, subject in people]
    user_id, subject_id = people[0] if people else (None, None)
    decision = Decision.MATCH if people else Decision.UNKNOWN
    face = MatchedFace(_BOX, [], _QUALITY, decision, subject_id, None, listed, len(people) > 1, user_id)
    return replace(_match(frame, [face]), search=SearchCoverage(1, [0], len(people), utc_now()))


def unknown(frame: Frame) -> Match:
    """The answer to a frame with one face of nobody who is enrolled; with ``verify``: of somebody else."""
    decision = Decision.NO_MATCH if frame.mode is Mode.VERIFY else Decision.UNKNOWN
    return _match(frame, [MatchedFace(_BOX, [], _QUALITY, decision)])


def dead_lettered(event: Upload | Frame, reason: Reason | str = Reason.FAILED) -> DeadLettered:
    """The error of an event that could not be processed."""
    topic = Topic.UPLOADS if isinstance(event, Upload) else Topic.FRAMES
    letter = DeadLetter(
        letter_id=new_event_id(),
        stage=_STAGE_OF_FAKE,
        topic=topic.value,
        partition=0,
        offset=0,
        key=event.user_id.encode(),
        value=None,
        headers=[],
        reason=str(reason),
        error_class="Fake",
        message="dead-lettered by the test",
        attempt=1,
        failed_at=utc_now(),
    )
    return DeadLettered(event.event_id, letter)


_BOX = Box(0.0, 0.0, 100.0, 100.0)
_QUALITY = Quality(score=0.9, size=100.0, sharpness=500.0, brightness=0.5, yaw=0.0, overall=1.0)


def _match(frame: Frame, faces: list[MatchedFace]) -> Match:
    return Match(
        event_id=frame.event_id,
        user_id=frame.user_id,
        camera_id=frame.camera_id,
        sequence=frame.sequence,
        captured_at=frame.captured_at,
        mode=frame.mode,
        source=Source(Topic.FRAMES.value, 0, 0),
        model_version=MODEL,
        threshold_set=MODEL,
        width=100,
        height=100,
        timings=_timings(),
        matched_at=utc_now(),
        faces=faces,
        subject_id=frame.subject_id,
    )


def _timings() -> Timings:
    now = utc_now()
    return Timings(now, now, now)


def _content(event: Upload | Frame) -> bytes | str | None:
    return event.picture.data if event.picture.data is not None else event.picture.uri
