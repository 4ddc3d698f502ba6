"""Why a picture cannot be had: for good, or for now."""

from __future__ import annotations

from schemas.reasons import Reason


class PayloadUnavailable(Exception):
    """The picture's store does not answer, or says that it cannot now. Trying again later may help."""


class PayloadRefused(Exception):
    """The picture will not be had by trying again; the message says what was wrong and what to do."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the reason for programs beside the sentence for people."""
        super().__init__(detail)
        self.reason = reason

    @classmethod
    def too_large(cls, limit: int) -> PayloadRefused:
        """For a picture of more bytes than allowed."""
        return cls(Reason.PICTURE_TOO_LARGE, f"the picture has more than the {limit} bytes allowed: send it smaller")
