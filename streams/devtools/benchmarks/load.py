"""Generates a steady stream of enrolments and frames, each with an id, that can be reconciled."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from schemas.ingest import Mode
from streams.client.errors import BackPressure
from streams.client.producer import Producer
from streams.settings import Settings

_USERS = 24
_ENROL_EVERY = 25
_SEARCH_EVERY = 7
PURPOSE = "load test"
"""Of the consent of whoever is enrolled."""


class Load:
    """Sends from a thread of its own at a given rate until it is stopped; the pictures are for the digest embedder."""

    def __init__(self, settings: Settings, events_per_s: float, name: str, *, searches: bool = False) -> None:
        """``name`` keeps the users of several loads apart; with ``searches`` they also look for themselves."""
        self.users = [f"{name}-user-{number}" for number in range(_USERS)]
        self.sent: dict[str, str] = {}
        """Event id to user."""
        self.searches: dict[str, str] = {}
        """The same of the searches among them."""
        self._searches = searches
        self._producer = Producer(settings, delivery_timeout_s=300, block_s=120, check_format=False)
        self._events_per_s = events_per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.close(120)

    def burst(self, frames: int) -> None:
        """Send frames as fast as Kafka takes them."""
        for user in itertools.islice(itertools.cycle(self.users), frames):
            self._frame(user)

    def enrol_many(self, uploads: int) -> None:
        """Enrol another subject with each upload."""
        for number, user in enumerate(itertools.islice(itertools.cycle(self.users), uploads)):
            self._enrol(user, f"{user}-subject-{number}")

    def bulk(self, uploads: int) -> None:
        """Have one user more enrol so many subjects, as fast as Kafka takes them."""
        user = f"{self.users[0]}-bulk"
        if user not in self.users:
            self.users.append(user)
        for number in range(uploads):
            self._enrol(user, f"{user}-subject-{number}")

    def _run(self) -> None:
        began = time.monotonic()
        for number, user in enumerate(itertools.cycle(self.users[:_USERS])):
            if self._stop.wait(max(0.0, began + number / self._events_per_s - time.monotonic())):
                return
            try:
                if number < _USERS or number % _ENROL_EVERY == 0:
                    self._enrol(user, user)
                elif self._searches and number % _SEARCH_EVERY == 0:
                    self._search(user)
                else:
                    self._frame(user)
            except BackPressure:
                continue

    def _enrol(self, user: str, subject: str) -> None:
        sent = self._producer.enrol(user, _picture(subject), consent=PURPOSE, subject_id=subject)
        self.sent[sent.event_id] = user

    def _search(self, user: str) -> None:
        sent = self._producer.frame(user, _picture(user), camera_id="desk", mode=Mode.SEARCH)
        self.sent[sent.event_id] = self.searches[sent.event_id] = user

    def _frame(self, user: str) -> None:
        self.sent[self._producer.frame(user, _picture(user), camera_id="load").event_id] = user


class Cameras:
    """Send frames at a steady rate from a thread of their own, each camera in turn."""

    def __init__(
        self, settings: Settings, users: Iterable[str], pictures: Sequence[bytes], frames_per_s: float
    ) -> None:
        self.sent_at: dict[str, tuple[str, float]] = {}
        """User and time in seconds since 1970 of each frame."""
        self._producer = Producer(settings, block_s=120)
        self._users = users
        self._pictures = pictures
        self._frames_per_s = frames_per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cameras")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.close(120)

    def _run(self) -> None:
        began = time.monotonic()
        for number, (user, jpeg) in enumerate(
            zip(itertools.cycle(self._users), itertools.cycle(self._pictures), strict=False)
        ):
            if self._stop.wait(max(0.0, began + number / self._frames_per_s - time.monotonic())):
                return
            at = time.time()
            self.sent_at[self._producer.frame(user, jpeg, camera_id="live").event_id] = user, at


def gap_s(live_at: Mapping[str, float], users_of: Mapping[str, str]) -> float:
    """The longest time for which a user saw no new result, in seconds."""
    last: dict[str, float] = {}
    longest = 0.0
    for event_id, at in sorted(live_at.items(), key=lambda item: item[1]):
        user = users_of.get(event_id)
        if user is not None:
            longest = max(longest, at - last.get(user, at))
            last[user] = at
    return longest


def _picture(of: str) -> bytes:
    return of.encode() * 100
