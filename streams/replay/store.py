"""The topic ``replays``: how each replay stands, so that any machine can show it and go on with it."""

from __future__ import annotations

import platform
import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from schemas import codec
from schemas.clock import utc_now
from schemas.errors import CodecError
from schemas.replays import Replay, ReplayState
from streams.kafka.log_reader import LogReader, newest_first, read_events
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.replay.errors import ReplayError
from streams.settings import Settings

SAVE_EVERY_S = 2.0
_STEP = 500
_FRESH = timedelta(seconds=6 * SAVE_EVERY_S)


def new_replay_id(now: datetime) -> str:
    """A short id that begins with the time, so that ids sort by it."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def replays(settings: Settings) -> list[Replay]:
    """Every replay of which there is a record, as it is now, the newest last.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    found = {replay.replay_id: replay for _, replay in read_events(settings, Topic.REPLAYS, Replay)}
    return sorted(found.values(), key=lambda one: one.started_at)


def find(settings: Settings, replay_id: str) -> Replay:
    """A replay that can be resumed.

    Raises:
        ReplayError: there is none of this id, it is finished, or it is under way.
        KafkaUnavailable, TopicMissing: see :func:`replays`.
    """
    replay = _last_record(settings, replay_id)
    if replay is None:
        raise ReplayError(f"there is no replay {replay_id!r}: see `facestream replay list`")
    if replay.state is ReplayState.FINISHED:
        raise ReplayError(f"replay {replay_id} is finished: it has sent all its {replay.sent} events")
    if is_under_way(replay):
        raise ReplayError(f"replay {replay_id} is under way on {replay.host}: stop it there with Ctrl-C first")
    return replay


def _last_record(settings: Settings, replay_id: str) -> Replay | None:
    """The last record of a replay, looked for from the end of its partition on."""
    with LogReader(settings, Topic.REPLAYS) as log:
        there = log.from_time(codec.from_micros(0), {log.partition_of(replay_id)})
        for ranges in newest_first(there, _STEP):
            found: Replay | None = None
            for message in log.messages(ranges):
                if message.key == replay_id.encode():
                    with suppress(CodecError):
                        found = codec.decode(message.value, Replay)
            if found is not None:
                return found
    return None


def is_under_way(replay: Replay) -> bool:
    """Whether some process is sending it now."""
    return replay.state is ReplayState.RUNNING and utc_now() - replay.updated_at < _FRESH


def shown_state(replay: Replay) -> str:
    """The state of a replay; ``interrupted`` if it should run and no process sends it."""
    return "interrupted" if replay.state is ReplayState.RUNNING and not is_under_way(replay) else replay.state.value


class ReplayStore:
    """Writes how replays stand."""

    def __init__(self, settings: Settings) -> None:
        self._writer = RecordWriter(settings, Topic.REPLAYS)

    def save(self, replay: Replay) -> Replay:
        """Write the record; return it as it was written.

        Raises:
            KafkaUnavailable: it was not taken in time.
        """
        written = replace(replay, updated_at=utc_now(), host=platform.node())
        self._writer.write(replay.replay_id, codec.encode(written))
        return written
