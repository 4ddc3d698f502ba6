"""Notes which keys are used, and writes it to Redis every few seconds: not with every request."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from schemas.clock import utc_now
from sinks.redis.errors import ResultsUnavailable
from streams.api_keys.last_use import LastUse

log = logging.getLogger(__name__)

_EVERY_S = 5.0


class Usage:
    """The last use of each key since it was last written."""

    def __init__(self, last_use: LastUse) -> None:
        self._last_use = last_use
        self._used: dict[str, datetime] = {}

    def note(self, key_id: str) -> None:
        """A key was used now."""
        self._used[key_id] = utc_now()

    async def write_regularly(self) -> None:
        """Write until the task is cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.write()

    async def write(self) -> None:
        """Write what was noted; where Redis does not answer, it is written later."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await asyncio.to_thread(self._last_use.write, used)
        except ResultsUnavailable as error:
            self._used = used | self._used
            log.warning("the last use of keys is not written: %s", error)

    def close(self) -> None:
        """Disconnect."""
        self._last_use.close()
