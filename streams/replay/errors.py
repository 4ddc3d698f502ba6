"""What can be wrong with a replay that was asked for."""


class ReplayError(Exception):
    """It cannot be done as asked; nothing was sent. The message says what to do."""
