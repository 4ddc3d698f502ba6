"""Packages that others import where they find them, and that no command uses: they stay out of a command's process.

An environment for analysts or developers has them. They would take half a second of each start.
"""

from __future__ import annotations

import sys

from models.hidden_packages import HiddenPackages

UNUSED = frozenset({"IPython", "pandas", "pyarrow"})
"""Google's clients look for the last two and for tqdm, which looks for the first; Keras and scikit-learn for pandas."""


def hide() -> None:
    """Let this process import as if the unused packages were not installed."""
    sys.meta_path.insert(0, HiddenPackages(UNUSED))
