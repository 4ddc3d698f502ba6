"""The command line: one module per command."""

from __future__ import annotations

import sys
from typing import NoReturn

from streams.cli import first_word


def main() -> NoReturn:
    """Run the command that the process was called with: first a sign of life, then all that takes time to import."""
    first_word.show(sys.argv[1:])
    try:
        from streams.cli import unused_packages
        from streams.cli.main import main as run

        unused_packages.hide()
        run()
    except KeyboardInterrupt:  # while it is being imported
        sys.exit(130)
    finally:
        first_word.clear()
