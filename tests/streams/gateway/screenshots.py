"""Takes the pictures of the live page for the documentation, with real workers and photographs.

``make screenshots`` writes them to docs/images; ``python -m tests.streams.gateway.screenshots FOLDER`` elsewhere.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import Browser, Page, expect

from infra.photos import sample_photos
from streams.client.producer import Producer
from streams.devtools import demo
from streams.devtools.local_stack import Stack
from streams.devtools.synthetic_frames import side_by_side
from streams.roles import ANSWERING
from tests.streams.gateway.browser import browser

IMAGES = Path(__file__).parents[3] / "docs" / "images"
WIDE, PHONE = {"width": 1100, "height": 720}, {"width": 390, "height": 780}
USER = demo.USERS[0]
FRAMES, FRAMES_PER_S = 24, 4.0
WEBP_QUALITY = 90
TAKEN = (
    ("", {"viewport": WIDE, "color_scheme": "light"}, {"live", "try"}),
    ("-dark", {"viewport": WIDE, "color_scheme": "dark"}, {"enrol"}),
    ("-phone", {"viewport": PHONE, "color_scheme": "light"}, {"live", "people"}),
)
"""What is taken: the suffix of the names, the browser's options, and the views."""
expect.set_options(timeout=60_000)


def main(folder: Path) -> None:
    """Run a stack, show something on the page, and take its pictures."""
    with tempfile.TemporaryDirectory() as home, Stack(Path(home), print) as stack:
        stack.start_gateway()
        for role in ANSWERING:
            stack.add_worker(role)
        key = stack.await_gateway()
        photos, sent = sample_photos(), demo.DemoEvents()
        with Producer(stack.settings) as producer:
            demo.enrol(producer, photos, sent)
            demo.stream(producer, photos, sent, frames=FRAMES, fps=FRAMES_PER_S)
        address = f"{stack.gateway}/#key={key.text}&user={USER}"
        with browser() as chromium:
            for suffix, options, views in TAKEN:
                for view, picture in _views(chromium, address, options, Path(home)):
                    if view in views:
                        _write(picture, folder / f"page-{view}{suffix}.webp")


def _views(chromium: Browser, address: str, options: Any, home: Path) -> Iterator[tuple[str, bytes]]:
    """Every view with something to see, and its picture as PNG."""
    photos = sample_photos()
    two = home / "two people.jpg"
    two.write_bytes(side_by_side([photos / "obama3.jpg", photos / "biden.jpg"]))
    dark = home / "dark.jpg"
    cv2.imwrite(str(dark), (cv2.imread(str(photos / "obama3.jpg")) * 0.06).astype(np.uint8))
    with chromium.new_context(**options) as context:
        page = context.new_page()
        page.goto(address)
        expect(page.locator(".answers li").nth(5)).to_be_visible()
        expect(page.locator(".cameras")).to_contain_text("obama")
        yield "live", _shot(page)
        page.get_by_role("link", name="Try a photo").click()
        page.locator("#picture").set_input_files(two)
        expect(page.locator(".faces li")).to_have_count(2)
        yield "try", _shot(page)
        page.get_by_role("link", name="Enrol").click()
        page.get_by_label("Name of the person").fill("obama")
        page.get_by_label("What the person has agreed to").fill("opening the door")
        page.locator("#picture").set_input_files([photos / "obama3.jpg", dark, two])
        expect(page.locator(".results .good, .results .refused")).to_have_count(3)
        yield "enrol", _shot(page)
        page.get_by_role("link", name="People").click()
        expect(page.get_by_role("row", name="obama")).to_be_visible()
        yield "people", _shot(page)


def _shot(page: Page) -> bytes:
    page.mouse.move(0, 0)
    return page.screenshot(animations="disabled")


def _write(png: bytes, path: Path) -> None:
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(path), image, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
