"""What can be wrong with dead letters that were asked for."""

from __future__ import annotations


class DeadLetterError(Exception):
    """They cannot be chosen as asked; nothing was sent. The message says what to do."""
