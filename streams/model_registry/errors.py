"""The errors of a rollout."""


class RolloutError(Exception):
    """A step of a rollout that must not be taken; the message says why and what to do."""
