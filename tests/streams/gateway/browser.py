"""A real browser, without a window, for the tests of the live page and its screenshots."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING = "no browser is found: `make page-test` installs one, or Debian's package chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    # A webcam that shows a test picture, and nobody who must allow it.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


class NoBrowser(Exception):
    """There is no browser on this machine."""


def executable(playwright: Playwright) -> str:
    """The machine's Chromium, or the one that Playwright has installed.

    Raises:
        NoBrowser: there is neither.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None) or playwright.chromium.executable_path
    if not Path(found).exists():
        raise NoBrowser(MISSING)
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser, closed at the end of a block.

    Raises:
        NoBrowser: there is none.
    """
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable(playwright), args=ARGUMENTS)
        try:
            yield running
        finally:
            running.close()


if __name__ == "__main__":
    with sync_playwright() as found:
        try:
            print(executable(found))
        except NoBrowser as missing:
            sys.exit(str(missing))
