"""The order in which a stage takes messages: for each user by time, and among users by turns.

Order is promised to a user: a photo that was acknowledged before a frame was sent counts for that frame. A user's
uploads and frames lie on the same partition number of two topics, which Kafka does not order against each other, so
they are merged by the time at which the broker appended them (topics are created with ``LogAppendTime``). Between users
no order is promised, so nobody waits behind another user's bulk of photos: users take turns, and users with messages
on an urgent topic go before the others, which keep a share. Whoever has many messages waiting is not urgent, so a
camera that runs wild is a bulk too.

To see past a bulk, reading goes on although it is not processed. Of messages beyond a bound only the positions are
kept, and their contents are read again when their turn comes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from streams.engine.turns import Turns
from streams.kafka.messages import Message, TopicPartition

USER_BYTES = 8 * 2**20
"""Contents that are kept of one user; half of it is work for more than the time in which more is read again."""
KEPT_BYTES = 96 * 2**20
"""Contents that are kept of all users; of urgent messages twice as much."""
KNOWN_MESSAGES = 100_000
"""A partition with more messages waiting than this is not read further, until half of them are done."""
_SHARE = 4
"""One in so many messages is taken from users without urgent ones, if both wait."""
DEEP = 32
"""A user with more messages waiting is not urgent, whatever they are, until no more than a quarter of so many do."""

_Key = tuple[int, bytes | None]
"""A partition number and the key of its messages: one user."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A message that waits; without its contents if they have to be read again."""

    source: TopicPartition
    offset: int
    timestamp_ms: int
    message: Message | None


class _User:
    """What waits of one user on one partition number, in order within each topic."""

    def __init__(self, number: int, key: bytes | None, topics: int) -> None:
        self.number = number
        self.key = key
        self.queues: list[deque[_Waiting]] = [deque() for _ in range(topics)]
        self.kept_bytes = 0
        self.missing = 0
        self.deep = False
        self.urgent = False

    def first(self) -> tuple[int, _Waiting] | None:
        """The oldest message and the rank of its topic, which decides between equal time stamps."""
        found: tuple[int, _Waiting] | None = None
        for rank, queue in enumerate(self.queues):
            if queue and (found is None or queue[0].timestamp_ms < found[1].timestamp_ms):
                found = rank, queue[0]
        return found

    def first_is(self, one: _Waiting) -> bool:
        """Whether a message is the oldest."""
        first = self.first()
        return first is not None and first[1] is one

    def wanted(self) -> _Waiting | None:
        """The message whose contents are needed next, if it is time to read them."""
        if not self.missing:
            return None
        first = self.first()
        if first is not None and first[1].message is None:
            return first[1]
        if self.kept_bytes >= USER_BYTES // 2:
            return None
        missing = [next((one for one in queue if one.message is None), None) for queue in self.queues]
        return min((one for one in missing if one is not None), key=lambda one: one.timestamp_ms)


class FairOrder:
    """Buffers messages of co-partitioned topics, and gives them back in order for each user, fairly over the users.

    Equal time stamps keep the order in which ``topics`` were given; messages of one topic partition and user keep
    theirs. Those of ``unordered_topics`` are given first: nothing waits for them, nor they for anything. It is the same
    with ``shared_topics``, but they get no more than half of what is taken while users wait, and those of a partition
    are given together.
    """

    def __init__(
        self,
        topics: Sequence[str],
        *,
        urgent_topics: Collection[str] = (),
        unordered_topics: Sequence[str] = (),
        shared_topics: Sequence[str] = (),
    ) -> None:
        """``urgent_topics`` are some of ``topics``; users with messages there go before others, with all they have."""
        self.ordered_topics = tuple(topics)
        self.topics = (*topics, *unordered_topics, *shared_topics)
        self._ranks = {topic: rank for rank, topic in enumerate(topics)}
        self._urgent = [topic in urgent_topics for topic in topics]
        self._users: dict[_Key, _User] = {}
        self._users_of: Counter[int] = Counter()
        self._turns: dict[bool, Turns[_Key, _User]] = {True: Turns(), False: Turns()}
        self._aside: deque[Message] = deque()
        self._shared: dict[TopicPartition, deque[Message]] = {}
        self._shared_topics = frozenset(shared_topics)
        self._missing: dict[tuple[TopicPartition, int], tuple[_Waiting, _User]] = {}
        self._waiting: dict[TopicPartition, int] = {}
        self._next_offset: dict[TopicPartition, int] = {}
        self._last_ms: dict[TopicPartition, int] = {}
        self._complete_ms: dict[int, int] = {}
        self._kept_bytes = 0
        self._taken = 0
        self._stuck = False

    def __len__(self) -> int:
        return sum(self._waiting.values())

    def waiting(self, source: TopicPartition) -> int:
        """How many messages of a partition wait here."""
        return self._waiting.get(source, 0)

    @property
    def kept_bytes(self) -> int:
        """How much memory the contents of those take that are kept."""
        return self._kept_bytes

    def next_offset(self, source: TopicPartition) -> int | None:
        """The offset after the last message added, or None if none was."""
        return self._next_offset.get(source)

    def add(self, message: Message) -> bool:
        """Let a message wait; False for an offset that was seen already (the consumer went back), which is dropped."""
        source = message.source
        if message.offset < self._next_offset.get(source, 0):
            return False
        self._next_offset[source] = message.offset + 1
        self._waiting[source] = self._waiting.get(source, 0) + 1
        rank = self._ranks.get(source.topic)
        if rank is None:
            shared = source.topic in self._shared_topics
            (self._shared.setdefault(source, deque()) if shared else self._aside).append(message)
            return True
        self._last_ms[source] = max(message.timestamp_ms, self._last_ms.get(source, 0))
        user = self._user(source.partition, message.key)
        urgent = user.urgent or (self._urgent[rank] and not user.deep)
        size = message.size_bytes
        one = _Waiting(source, message.offset, message.timestamp_ms, message)
        # Once the contents of one message are missing, those of later ones would only take room.
        if user.missing or not self._has_room(user, size, urgent):
            one.message = None
            user.missing += 1
            self._missing[source, message.offset] = one, user
        else:
            self._keep(user, size)
        user.queues[rank].append(one)
        self._rank(user)
        return True

    def silent(self) -> set[TopicPartition]:
        """Partitions that hold messages back as long as it is not known whether something older is on its way.

        Whoever then finds that they have been read to their end may say so to :meth:`take`. That holds for the messages
        that wait now, and not for those that are added while the brokers are asked.
        """
        silent: set[TopicPartition] = set()
        self._complete_ms.clear()
        for number in [number for number, users in self._users_of.items() if users]:
            sources = [TopicPartition(topic, number) for topic in self.ordered_topics]
            newest = {one: self._last_ms.get(one, -1) for one in sources if self.waiting(one)}
            self._complete_ms[number] = max(newest.values())
            for source in sources:
                others = [last_ms for other, last_ms in newest.items() if other != source]
                if others and self._last_ms.get(source, -1) <= max(others):
                    silent.add(source)
        return silent

    def take(self, limit: int, caught_up: Callable[[TopicPartition], bool]) -> list[Message]:
        """Remove and return up to ``limit`` messages.

        Args:
            limit: most messages to return.
            caught_up: whether everything was added that the partition held when :meth:`silent` was called.
        """
        taken: list[Message] = []
        most = limit // 2 or 1 if self._users else limit
        oldest_first = sorted(filter(None, self._shared.values()), key=lambda one: one[0].timestamp_ms)
        for queue, up_to in ((self._aside, limit), *((one, most) for one in oldest_first)):
            while queue and len(taken) < up_to:
                message = queue.popleft()
                self._waiting[message.source] -= 1
                taken.append(message)

        def can_go(user: _User) -> bool:
            return self._can_go(user, caught_up)

        urgent_found = False
        while len(taken) < limit:
            urgent_turn = self._taken % _SHARE != _SHARE - 1
            user = self._turns[urgent_turn].next(can_go)
            if user is None:
                # What is urgent does not wait for others that fill up its batch.
                if urgent_turn and urgent_found:
                    break
                user = self._turns[not urgent_turn].next(can_go)
            if user is None:
                break
            urgent_found |= user.urgent
            taken.append(self._remove_first(user))
            self._taken += 1
        self._stuck = not taken
        return taken

    def wanted(self) -> _Waiting | None:
        """The message that is to be read again next, with what lies behind it; None if nothing is."""
        if not self._missing:
            return None
        for urgent in (True, False):
            full = self._kept_bytes > _limit(urgent)
            if full and not self._stuck:
                continue
            for user in self._turns[urgent]:
                # Where nothing can be taken, what is kept is later than what is missing, and makes no room by itself.
                if (one := user.wanted()) is not None and (not full or user.first_is(one)):
                    return one
        return None

    def fill(self, source: TopicPartition, start: int, end: int, messages: Iterable[Message]) -> list[int]:
        """Take the contents of messages that were read again.

        Args:
            source: where they lie.
            start: the offset from which they were read.
            end: the offset up to which they were read, exclusive.
            messages: what was found there.

        Returns:
            The offsets of messages that wait and are not in the log any more; they wait no longer.
        """
        for message in messages:
            if (known := self._missing.get((source, message.offset))) is None:
                continue
            one, user = known
            first = user.first()
            needed = message.offset == start or (first is not None and first[1] is one)
            if not needed and not self._has_room(user, message.size_bytes, user.urgent):
                continue
            one.message = message
            user.missing -= 1
            del self._missing[source, message.offset]
            self._keep(user, message.size_bytes)
        found = {message.offset for message in messages}
        gone = [offset for offset in range(start, end) if offset not in found and (source, offset) in self._missing]
        for offset in gone:
            self._drop(source, offset)
        return gone

    def rewind(self, source: TopicPartition, offset: int) -> None:
        """Forget what waits of a partition from ``offset`` on; that is what comes next."""
        self._next_offset[source] = offset
        if (rank := self._ranks.get(source.topic)) is None:
            for queue in (self._aside, *self._shared.values()):
                kept = [one for one in queue if one.source != source or one.offset < offset]
                self._waiting[source] -= len(queue) - len(kept)
                queue.clear()
                queue.extend(kept)
            return
        self._last_ms.pop(source, None)
        for user in [one for one in self._users.values() if one.number == source.partition]:
            while user.queues[rank] and user.queues[rank][-1].offset >= offset:
                self._forget(user, user.queues[rank].pop())
                self._settle(user)

    def clear(self) -> None:
        """Forget everything; after a rebalance, since the consumer starts again at the committed offsets."""
        self._turns = {True: Turns(), False: Turns()}
        self._aside.clear()
        self._shared.clear()
        for known in (
            self._users,
            self._users_of,
            self._missing,
            self._waiting,
            self._next_offset,
            self._last_ms,
            self._complete_ms,
        ):
            known.clear()
        self._kept_bytes = 0

    def _user(self, number: int, key: bytes | None) -> _User:
        user = self._users.get((number, key))
        if user is None:
            user = self._users[number, key] = _User(number, key, len(self.ordered_topics))
            self._users_of[number] += 1
            self._turns[False].add((user.number, user.key), user)
        return user

    def _has_room(self, user: _User, size: int, urgent: bool) -> bool:
        return user.kept_bytes + size <= max(USER_BYTES, size) and self._kept_bytes + size <= _limit(urgent)

    def _keep(self, user: _User, size: int) -> None:
        user.kept_bytes += size
        self._kept_bytes += size

    def _can_go(self, user: _User, caught_up: Callable[[TopicPartition], bool]) -> bool:
        """Whether the contents of a user's first message are there, and nothing of his that is older may still come."""
        first = user.first()
        if first is None or first[1].message is None:
            return False
        rank, one = first
        for other, topic in enumerate(self.ordered_topics):
            if other == rank or user.queues[other]:
                continue
            source = TopicPartition(topic, user.number)
            read_to = self._last_ms.get(source, -1)
            if read_to > one.timestamp_ms or (read_to == one.timestamp_ms and other > rank):
                continue
            if one.timestamp_ms > self._complete_ms.get(user.number, -1) or not caught_up(source):
                return False
        return True

    def _remove_first(self, user: _User) -> Message:
        first = user.first()
        assert first is not None
        rank, one = first
        assert one.message is not None
        message = one.message
        user.queues[rank].popleft()
        self._forget(user, one)
        self._settle(user)
        return message

    def _drop(self, source: TopicPartition, offset: int) -> None:
        one, user = self._missing[source, offset]
        user.queues[self._ranks[source.topic]].remove(one)
        self._forget(user, one)
        self._settle(user)

    def _forget(self, user: _User, one: _Waiting) -> None:
        self._waiting[one.source] -= 1
        if one.message is None:
            user.missing -= 1
            del self._missing[one.source, one.offset]
        else:
            self._keep(user, -one.message.size_bytes)

    def _settle(self, user: _User) -> None:
        """Put a user from whom a message was removed where he belongs now."""
        if any(user.queues):
            self._rank(user)
        else:
            self._turns[user.urgent].remove((user.number, user.key))
            del self._users[user.number, user.key]
            self._users_of[user.number] -= 1

    def _rank(self, user: _User) -> None:
        """Let a user take turns with those who are as urgent."""
        waiting = sum(map(len, user.queues))
        user.deep = waiting > (DEEP // 4 if user.deep else DEEP)
        urgent = not user.deep and any(
            queue and urgent for queue, urgent in zip(user.queues, self._urgent, strict=True)
        )
        if urgent != user.urgent:
            self._turns[user.urgent].remove((user.number, user.key))
            self._turns[urgent].add((user.number, user.key), user)
            user.urgent = urgent


def _limit(urgent: bool) -> int:
    """The contents that are kept of users with and without urgent messages."""
    return KEPT_BYTES * (2 if urgent else 1)
