"""Imports as if some packages were not installed."""

from __future__ import annotations

import threading
from collections.abc import Collection


class HiddenPackages:
    """A finder for the beginning of ``sys.meta_path`` that says of some packages that they are not there."""

    def __init__(self, packages: Collection[str], *, from_others: bool = True) -> None:
        """Hide these packages from the thread that makes this finder, and from all others too unless told otherwise."""
        self._packages = packages
        self._thread = None if from_others else threading.get_ident()

    def find_spec(self, fullname: str, *_: object) -> None:
        """Raise ModuleNotFoundError if it is one of the packages; leave all others to the next finder."""
        if fullname in self._packages and self._thread in (None, threading.get_ident()):
            raise ModuleNotFoundError(f"{fullname} is hidden from this import", name=fullname)
