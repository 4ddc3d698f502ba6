"""The command line: one module a command."""

from streams.cli.main import main

__all__ = ["main"]
