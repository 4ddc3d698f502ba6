"""What the people around facestream hold in their hands: clients of Kafka, Redis and BigQuery."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import confluent_kafka
from google.cloud.bigquery import ScalarQueryParameter

from schemas import codec
from schemas.dead_letters import DeadLetter
from schemas.errors import CodecError
from sinks.bigquery import Address, run_query
from sinks.redis import RedisResults
from streams.client.delivery_report import Delivered
from streams.client.producer import Producer
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.settings import Settings
from tests.streams.cli import preloaded
from tests.waiting import wait_until

Json = dict[str, Any]
T = TypeVar("T")

TIMEOUT_S = 60.0
BY_KEY = -1
"""librdkafka's word for "the partition that the key belongs to"."""


def eventually(ask: Callable[[], T | None], what: str, timeout_s: float = TIMEOUT_S) -> T:
    """Ask until the answer is neither empty nor None."""
    return wait_until(ask, timeout_s, what)


class Clients:
    """A producer, readers of every outcome, and a plain Kafka producer that checks nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = Producer(settings, check_format=False)
        self.results = RedisResults(settings.redis_url, settings.redis_prefix)
        self._raw = confluent_kafka.Producer(
            {
                "bootstrap.servers": settings.kafka,
                "partitioner": "murmur2_random",
                "message.max.bytes": 4 * settings.max_message_bytes,
                "linger.ms": 0,
            }
        )
        self._dataset = Address(
            settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc
        )
        self._bigquery = self._dataset.rest_client()

    def close(self) -> None:
        self.producer.close()
        self._raw.flush(10)
        del self._raw  # which disconnects it
        self.results.close()
        self._bigquery.close()  # type: ignore[no-untyped-call]

    def put(
        self, topic: Topic, value: bytes | None, key: bytes | str | None, partition: int | None = None
    ) -> Delivered:
        """Put any bytes on a topic, by a client that knows nothing of facestream; KafkaException if it is refused."""
        future: Future[Delivered] = Future()

        def report(error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message) -> None:
            if error is not None:
                future.set_exception(confluent_kafka.KafkaException(error))
            else:
                at, offset = message.partition(), message.offset()
                assert at is not None
                assert offset is not None
                future.set_result(Delivered(topic.named(self.settings), at, offset))

        to = BY_KEY if partition is None else partition
        self._raw.produce(topic.named(self.settings), value, key, partition=to, on_delivery=report)
        self._raw.flush(TIMEOUT_S)
        return future.result(0)

    def answers(self, event_ids: Sequence[str], timeout_s: float = TIMEOUT_S) -> dict[str, Json]:
        """What Redis has of frames and uploads, once it has all of it."""
        found = self.results.wait_for(event_ids, timeout_s)
        assert set(found) == set(event_ids), f"no answer to {set(event_ids) - set(found)} in {timeout_s:g} s"
        return found

    def answer(self, event_id: str) -> Json:
        return self.answers([event_id])[event_id]

    def query(self, sql: str, **parameters: str) -> list[Json]:
        """Ask BigQuery; parameters are texts."""
        values = [ScalarQueryParameter(name, "STRING", value) for name, value in parameters.items()]
        return run_query(self._bigquery, sql, values, dataset=self._dataset.dataset_id).rows

    def rows(self, table: str, event_ids: Sequence[str]) -> dict[str, Json]:
        """The rows of events, each once, when all are there."""
        id_column = "letter_id" if table == "dead_letters" else "event_id"
        ids = {f"id{number}": event_id for number, event_id in enumerate(event_ids)}
        # The server looks for a few parameters only where they can be; for what is in an array it reads all rows.
        condition = f"IN ({', '.join(f'@{name}' for name in ids)})" if len(ids) < 20 else "IN UNNEST(SPLIT(@ids))"
        values = ids if len(ids) < 20 else {"ids": ",".join(event_ids)}
        found: list[Json] = []

        def all_there() -> bool:
            found[:] = self.query(f"SELECT * FROM {table} WHERE {id_column} {condition}", **values)
            return {row[id_column] for row in found} == set(event_ids)

        eventually(all_there, f"rows of {event_ids} in {table}")
        assert len(found) == len(event_ids)
        return {row[id_column]: row for row in found}

    def row(self, table: str, event_id: str) -> Json:
        return self.rows(table, [event_id])[event_id]

    def live(self, user: str, until: str) -> list[Json]:
        """The user's live stream from its beginning, once this event is in it."""

        def entries() -> list[Json]:
            kept = list(self.results.follow(user, after="0", timeout_s=0.2))
            return [entry.event for entry in kept] if until in {entry.event["event_id"] for entry in kept} else []

        return eventually(entries, f"{until} in the live stream of {user}")

    def await_latest(self, user: str, camera: str, event_id: str) -> Json:
        """The latest match of a camera, once it is that of this frame."""

        def latest() -> Json | None:
            found = self.results.latest(user, camera)
            return found if found is not None and found["event_id"] == event_id else None

        return eventually(latest, f"{event_id} is the latest of {camera}")

    def await_subjects(self, user: str, subjects: dict[str, int]) -> None:
        """Wait until Redis shows these subjects of a user, with their numbers of templates."""
        eventually(lambda: self.results.subjects(user) == subjects, f"{user} has the subjects {subjects}")

    def letters_of(self, place: Delivered, count: int = 1) -> list[DeadLetter]:
        """The dead letters of one message, one from each stage that gave it up, once so many are there."""

        def there() -> list[DeadLetter]:
            found = [letter for letter in self._letters() if _place(letter) == place]
            return found if len(found) >= count else []

        found = eventually(there, f"{count} dead letters of {place}")
        assert len({letter.letter_id for letter in found}) == len(found) == count
        return found

    def letters(self, places: Collection[Delivered]) -> dict[Delivered, DeadLetter]:
        """The dead letter of each message, once all are there."""

        def there() -> list[DeadLetter]:
            found = [letter for letter in self._letters() if _place(letter) in places]
            return found if len(found) >= len(places) else []

        found = eventually(there, f"dead letters of {places}")
        assert len(found) == len(places)
        return {_place(letter): letter for letter in found}

    def _letters(self) -> Iterator[DeadLetter]:
        for message in read_topic(self.settings, Topic.DEAD_LETTERS):
            with suppress(CodecError):  # as of somebody who writes there and is not facestream
                yield codec.decode(message.value, DeadLetter)


def _place(letter: DeadLetter) -> Delivered:
    return Delivered(letter.topic, letter.partition, letter.offset)


def new_user(name: str = "user") -> str:
    """A user of whom nobody has heard."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def named(answer: Json) -> list[str | None]:
    """Whom the faces of a frame were recognised as, largest face first."""
    return [face["subject_id"] for face in answer["faces"]]


def facestream(
    environment: dict[str, str], folder: Path, *arguments: object, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would, in a folder, and expect its exit code."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FACESTREAM_")}
    root = str(Path(__file__).parents[2])
    words = [str(one) for one in arguments]
    env = plain | {"PYTHONPATH": root, "COLUMNS": "200"} | environment
    ended = subprocess.CompletedProcess(words, *preloaded.run(words, env, folder, 120))
    assert ended.returncode == code, ended.stderr
    return ended
