"""Why feedback is not taken."""


class FeedbackRefused(ValueError):
    """What is said does not fit the match; the message says why, and what would."""
