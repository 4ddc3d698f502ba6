"""What a commit of the role ``sightings`` notes beside its offset."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from schemas import codec


@dataclass(frozen=True, slots=True)
class SavedTo:
    """Up to where the cameras are written: what a successor reads again, and with which time it begins."""

    next_offset: int
    embeddings: int
    clock: datetime

    @property
    def note(self) -> str:
        """As a short text."""
        return json.dumps([self.next_offset, self.embeddings, round(self.clock.timestamp() * 1_000_000)])

    @classmethod
    def read(cls, note: str) -> SavedTo | None:
        """From such a text; None if it is none."""
        try:
            next_offset, embeddings, micros = json.loads(note)
            return cls(int(next_offset), int(embeddings), codec.from_micros(int(micros)))
        except (ValueError, TypeError):
            return None
