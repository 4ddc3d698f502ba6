"""Follows the answers in Redis as they come, also when the server is restarted."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from schemas.ids import canonical
from sinks.redis import LiveEntry, RedisResults, ResultsUnavailable
from streams.settings import Settings

_TRY_AGAIN_S = 1.0
_KEPT = 1_000
"""How many of the latest answers are read if no user is named."""
_REMEMBERED = 20_000

_Arrived = queue.SimpleQueue[LiveEntry | ResultsUnavailable]


class LiveAnswers:
    """The answers to some or all users in the order in which they come, each once.

    If the server goes away, they go on when it is back, first with what came meanwhile: everything that is kept if
    users are named, else the latest thousand.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        users: Sequence[str] = (),
        *,
        lost: Callable[[ResultsUnavailable], None] = lambda _: None,
        listening: Callable[[], None] = lambda: None,
    ) -> None:
        """Connect at the first answer that is asked for.

        Args:
            settings: asked at each connection, because services that are started again may have another address.
            users: the users; none: all.
            lost: called when the server goes away.
            listening: called when everything that was there has been given, and again when the server is back.
        """
        self._settings = settings
        self._users = users
        self._lost = lost
        self._listening = listening
        self._given: dict[str, None] = {}

    def follow(self, first: int | None = 0, timeout_s: float | None = None) -> Iterator[LiveEntry]:
        """Yield answers until the time is over.

        Args:
            first: begin with this many of the latest that are kept; None: with all.
            timeout_s: seconds; None: for ever.

        Raises:
            ResultsUnavailable: the server does not answer at the start.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        entries, arrived = self._connect()
        yield from entries[0 if first is None else len(entries) - min(first, len(entries)) :]
        self._listening()
        while (left := None if until is None else max(0.0, until - time.monotonic())) is None or left > 0:
            try:
                came = arrived.get(timeout=left)
            except queue.Empty:
                return
            if isinstance(came, LiveEntry):
                yield from self._new([came])
                continue
            self._lost(came)
            entries, arrived = self._connect_again(until)
            yield from entries
            self._listening()

    def _connect_again(self, until: float | None) -> tuple[list[LiveEntry], _Arrived]:
        while until is None or time.monotonic() < until:
            try:
                return self._connect()
            except ResultsUnavailable:
                time.sleep(_TRY_AGAIN_S)
        return [], queue.SimpleQueue()

    def _connect(self) -> tuple[list[LiveEntry], _Arrived]:
        """The answers that are there and have not been given yet, and a queue in which others arrive."""
        settings = self._settings()
        results = RedisResults.of(settings)
        arrived: _Arrived = queue.SimpleQueue()
        if self._users:
            entries = results.recent(None, self._users)
            last = {entry.event.get("user_id"): entry.entry_id for entry in entries}
            sources = [results.follow(user, last.get(canonical(user), "0")) for user in self._users]
        else:
            # Listening begins first, so that nothing falls between the two; what is in both is given once.
            sources = [results.follow_all()]
            entries = results.recent(_KEPT)
        for source in sources:
            threading.Thread(target=_read, args=(source, arrived), daemon=True).start()
        return self._new(entries), arrived

    def _new(self, entries: Sequence[LiveEntry]) -> list[LiveEntry]:
        new = [entry for entry in entries if entry.event.get("event_id") not in self._given]
        self._given.update((str(entry.event.get("event_id")), None) for entry in new)
        while len(self._given) > _REMEMBERED:
            del self._given[next(iter(self._given))]
        return new


def _read(entries: Iterator[LiveEntry], arrived: _Arrived) -> None:
    """Put entries into a queue until the server goes away, and then its error."""
    try:
        for entry in entries:
            arrived.put(entry)
    except ResultsUnavailable as error:
        arrived.put(error)
