"""The command line: one module a command, found by its ``register``."""

from streams.cli.main import main

__all__ = ["main"]
