"""What has come on a topic since the last look: for whoever asks the same again and again, with one client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Self

from schemas.replays import OffsetRange
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.log_reader import LogReader
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.settings import Settings


class LogTail:
    """Each message of a topic once, as it comes; a context manager, for one thread.

    Messages that were given before it stopped in the middle come again.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic | str,
        forget: Callable[[], None],
        since: Callable[[], datetime] | None = None,
    ) -> None:
        """Connects when it is first asked.

        Args:
            settings: of the cluster.
            topic: which; a text is a whole name, of a changelog.
            forget: called where everything comes anew: the topic was deleted and made again.
            since: tells from which time on the first look is; None: from the beginning.
        """
        self._settings = settings
        self._topic = topic
        self._forget = forget
        self._since = since
        self._log: LogReader | None = None
        self.next: dict[int, int] = {}
        """The offset by partition number before which everything has been given."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; the next look connects anew and goes on where this one ended."""
        if self._log is not None:
            log, self._log = self._log, None
            log.close()

    def more(self) -> Iterator[Message]:
        """What has come since.

        Raises:
            KafkaUnavailable: no broker answers; the next time is with a new client.
            TopicMissing: there is no such topic.
        """
        try:
            yield from self._more()
        except KafkaUnavailable:
            # After a broker's restart a client goes on for minutes to ask for the leaders of before.
            self.close()
            raise

    def _more(self) -> Iterator[Message]:
        if self._log is None:
            self._log = LogReader(self._settings, self._topic)
        log, bounds = self._log, self._log.bounds()
        if any(end < self.next.get(number, 0) for number, (_, end) in bounds.items()):
            self.next.clear()
            self._forget()
        if not self.next and self._since is not None:
            ranges = log.from_time(self._since())
        else:
            starts = {number: max(low, self.next.get(number, 0)) for number, (low, _) in bounds.items()}
            ranges = [OffsetRange(n, starts[n], starts[n], end) for n, (_, end) in bounds.items() if starts[n] < end]
        yield from log.messages(ranges)
        self.next |= {number: end for number, (_, end) in bounds.items()}
        self.next |= {one.partition: one.end_offset for one in ranges}
