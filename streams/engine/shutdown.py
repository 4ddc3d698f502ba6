"""How a worker ends: on the spot while it has nothing in hand, and soon after its last commit."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import NoReturn

from streams import traces

FINISH_S = 12.0
"""The batch in hand is finished within this time, or left for the worker that takes over its partitions."""
LEAVE_S = 4.0
"""The consumer leaves its group within this time, or the brokers notice when its session is over."""

log = logging.getLogger(__name__)


def end_on_signal() -> None:
    """Let a signal end this process on the spot: its imports and models take long, and it has nothing in hand yet."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # The kernel spares the first process of a container, so that one does it by itself.
        signal.signal(number, signal.SIG_DFL if os.getpid() != 1 else _end_by)


def end(code: int) -> NoReturn:
    """End a worker whose work is committed, without waiting for threads that compute what nobody asks for any more."""
    traces.flush()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def end_in_any_case() -> None:
    """End this process when its time is over, whatever it waits for; what it has in hand is done again by the next."""
    limit = threading.Timer(FINISH_S + LEAVE_S, _give_up)
    limit.daemon = True
    limit.start()


def set_on_signal(stop: threading.Event) -> None:
    """Let a signal set ``stop``, and end the process soon after in any case; a second signal ends it on the spot."""

    def on_signal(*_: object) -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()
        end_in_any_case()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def _give_up() -> None:
    log.warning("not done in %g s: what is in hand is left to the next worker", FINISH_S + LEAVE_S)
    end(0)


def _end_by(number: int, _: object) -> NoReturn:
    os._exit(128 + number)
