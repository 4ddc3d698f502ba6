"""Drives the merger: beside the batches it answers the searches whose deadline is over."""

from __future__ import annotations

from schemas.results import Match
from streams.engine.batch_worker import BatchWorker
from streams.roles import Role
from streams.searching.merger import SearchMerger
from streams.settings import Settings
from streams.topology import SEARCH_EVENTS


class SearchWorker(BatchWorker[Match]):
    """Merges the parts of searches."""

    def __init__(self, settings: Settings, *, batch_size: int, client_id: str) -> None:
        """Make one; see :class:`BatchWorker`."""
        self._merger = SearchMerger(settings)
        super().__init__(
            Role.SEARCH,
            settings,
            self._merger,
            SEARCH_EVENTS,
            batch_size=batch_size,
            linger_s=0.0,
            client_id=client_id,
            makes_dead_letters=True,
        )

    def _check(self) -> None:
        self.until_available(self._merger.expire, "answering searches")
