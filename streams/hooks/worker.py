"""Drives the role hooks: beside the batches it notes what was accepted, and follows the hooks."""

from __future__ import annotations

from threading import Event as Flag

from streams.engine.batch_worker import BatchWorker
from streams.hooks.messages import HookedEvent
from streams.hooks.processor import HookProcessor
from streams.roles import Role
from streams.settings import Settings
from streams.topology import HOOK_EVENTS

_LINGER_S = 0.1


class HookWorker(BatchWorker[HookedEvent]):
    """Posts sightings and enrolments."""

    def __init__(self, settings: Settings, *, batch_size: int, client_id: str) -> None:
        """Make one; see :class:`BatchWorker`."""
        self._hooks = HookProcessor(settings)
        self._ending = Flag()
        # What it cannot read the sinks report as dead letters.
        super().__init__(
            Role.HOOKS,
            settings,
            self._hooks,
            HOOK_EVENTS,
            batch_size=batch_size,
            linger_s=_LINGER_S,
            client_id=client_id,
            makes_dead_letters=False,
        )

    def run(self, stop: Flag) -> None:
        """Work until ``stop`` is set; see :meth:`BatchWorker.run`."""
        self._ending = stop
        self._hooks.start()
        try:
            super().run(stop)
        finally:
            self._hooks.stop()

    def _check(self) -> None:
        if self._ending.is_set():
            # Now, as it is noted before the partitions go.
            self._hooks.stop()
        self.until_available(self._hooks.tend, "noting what was posted")
