"""The errors of feedback."""


class FeedbackRefused(ValueError):
    """Feedback does not fit the match; the message says why, and what would fit."""
