"""Posts what is due, in a thread with an event loop of its own: hundreds of slow addresses cost nothing but sockets."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from threading import Lock

from schemas.hooks import Hook
from streams.hooks import metrics
from streams.hooks.backlog import Backlog, Waiting
from streams.hooks.messages import body
from streams.hooks.post import Poster, PostResult
from streams.hooks.secrets import HookKey, NoHookKey, load_hook_key
from streams.settings import Settings

log = logging.getLogger(__name__)

_LOOK_S = 1.0
_STOP_S = 5.0
"""How long a worker that stops waits for answers; what has none is posted again by the next owner."""

Settled = Callable[[Waiting, PostResult], None]
"""Told of each answer, with the lock held."""


class HookSender:
    """Posts from a backlog, which others change too, with ``lock`` held."""

    def __init__(
        self,
        settings: Settings,
        backlog: Backlog,
        lock: Lock,
        hook_of: Callable[[str], Hook | None],
        settled: Settled,
    ) -> None:
        """``hook_of`` gives a hook by its id, from any thread."""
        self._settings = settings
        self._backlog = backlog
        self._lock = lock
        self._hook_of = hook_of
        self._settled = settled
        self._key: HookKey | None = None
        self._loop = asyncio.new_event_loop()
        self._wake = asyncio.Event()
        self._stopped = False
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="hooks", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more, and give what is under way a moment."""
        self._stopped = True
        self._look()
        self._thread.join(_STOP_S + 1)

    def wake(self) -> None:
        """Look at the backlog: there may be something new.

        Raises:
            Exception: posting has failed in a way that nothing foreseen explains.
        """
        if self._failed is not None:
            raise self._failed
        self._look()

    def _look(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._wake.set)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._work())
        except Exception as error:  # the worker's thread raises it
            log.exception("posting to hooks failed")
            self._failed = error
        finally:
            self._loop.close()

    async def _work(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        async with Poster(self._settings) as poster:
            while not self._stopped:
                self._wake.clear()
                now = time.monotonic()
                with self._lock:
                    taken, due = self._backlog.take(now), self._backlog.next_due()
                for one in taken:
                    task = asyncio.create_task(self._post(poster, one))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    task.add_done_callback(self._note_failure)
                pause = _LOOK_S if due is None else min(max(due - now, 0.0), _LOOK_S)
                try:
                    await asyncio.wait_for(self._wake.wait(), pause)
                except TimeoutError:
                    continue
            if tasks:
                await asyncio.wait(tasks, timeout=_STOP_S)
            for task in tasks:
                task.cancel()

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        """Have the worker end, and its successor post again, where an event would otherwise be under way for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("posting to a hook failed", exc_info=error)
            self._failed = error if isinstance(error, Exception) else RuntimeError(repr(error))

    async def _post(self, poster: Poster, one: Waiting) -> None:
        began = time.perf_counter()
        result = await self._result(poster, one)
        metrics.ANSWER_S.observe(time.perf_counter() - began)
        with self._lock:
            self._settled(one, result)
        self._wake.set()

    async def _result(self, poster: Poster, one: Waiting) -> PostResult:
        hook = self._hook_of(one.hook_id)
        if hook is None or hook.disabled_at is not None or one.is_over:
            return PostResult(False, "it is not wanted any more")
        try:
            if self._key is None:
                self._key = load_hook_key(self._settings)
            secret = self._key.secret_of(hook)
        except NoHookKey as error:
            self._key = None  # another may be put there
            return PostResult(False, str(error))
        return await poster.post(hook.address, secret, one.key[1], body(one.event))
