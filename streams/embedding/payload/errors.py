"""The errors of reading a picture: permanent or temporary."""

from __future__ import annotations

from schemas.reasons import Reason


class PayloadUnavailable(Exception):
    """The picture's store does not answer, or cannot serve it now. Trying again later may help."""


class PayloadRefused(Exception):
    """The picture cannot be read, and trying again does not help; the message says what to do."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the reason for programs beside the sentence for people."""
        super().__init__(detail)
        self.reason = reason

    @classmethod
    def too_large(cls, limit: int) -> PayloadRefused:
        """The error for a picture with too many bytes."""
        return cls(Reason.PICTURE_TOO_LARGE, f"the picture has more than the {limit} bytes allowed: send it smaller")
