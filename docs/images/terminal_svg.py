"""Draws a terminal's output as SVG.

``facestream demo | python docs/images/terminal_svg.py TITLE > docs/images/demo.svg``
"""

from __future__ import annotations

import io
import re
import sys

from rich.console import Console
from rich.text import Text


def main() -> None:
    """Read the output from stdin, write the picture to stdout."""
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(sys.stdin.read().rstrip()), soft_wrap=False)
    # Browsers would download the fonts that it names; the reader's own fonts suffice.
    print(re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title=sys.argv[1]), flags=re.DOTALL))


if __name__ == "__main__":
    main()
