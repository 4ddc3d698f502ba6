"""What the thread that posts does where something fails that nobody foresaw."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Lock

import pytest

from schemas.hooks import Hook
from streams.hooks.sender import HookSender
from streams.settings import Settings
from tests.streams.hooks.test_backlog import backlog, waiting
from tests.waiting import wait_until


def test_the_worker_hears_of_a_failure_that_would_leave_an_event_under_way_for_ever(tmp_path: Path) -> None:
    known = backlog()
    known.add(waiting(), time.monotonic())

    def hook_of(hook_id: str) -> Hook | None:
        raise RuntimeError(f"{hook_id} is broken")

    sender = HookSender(Settings(home=tmp_path), known, Lock(), hook_of, lambda *_: None)
    sender.start()

    def fails() -> bool:
        try:
            sender.wake()
        except RuntimeError:
            return True
        return False

    wait_until(fails)
    with pytest.raises(RuntimeError, match="one is broken"):
        sender.wake()
    sender.stop()
