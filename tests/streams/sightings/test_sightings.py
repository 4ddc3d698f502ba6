"""Sightings through real Kafka, Redis and BigQuery, with a worker that is killed in the middle of one, and erasures."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import confluent_kafka
import numpy as np
import pytest
from google.cloud.bigquery import ScalarQueryParameter

from infra.services import LocalServices
from models.sightings import tracker
from models.sightings.tracker import TrackerPlan
from models.testing import digest
from schemas import codec
from schemas.clock import utc_now
from schemas.embeddings import Embedding, Face, FrameOrigin
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.parts import Box, Decision, Quality, Source
from schemas.registry import Event
from schemas.results import Candidate, Match, MatchedFace
from schemas.sightings import OpenSightings, Sighting, SightingState
from sinks.bigquery import Address, apply, run_query
from sinks.redis.sighting_results import SightingResults
from streams.kafka import topic_admin
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import committed_offsets, group_id
from streams.kafka.log_reader import read_events
from streams.kafka.topics import Topic
from streams.operations.erasure_preview import preview_erasure
from streams.roles import Role
from streams.settings import Settings
from streams.sightings.observations import FrameVectors, observed, same_person
from streams.sightings.open_log import read_open
from tests.sinks.examples import timings
from tests.streams.cli import preloaded
from tests.streams.cli.conftest import environment, run
from tests.waiting import wait_until

PLAN = TrackerPlan(timedelta(seconds=10), timedelta(seconds=10))
QUALITY = Quality(0.9, 60.0, 100.0, 0.5, 0.0, 0.75)
ENROLLED = {"anna": 4, "bert": 5, "otto": 6}
"""The numbers of those who have names; the others are strangers."""
ANNA = ENROLLED["anna"]
E = TypeVar("E", bound=Event)
ROLES = (Role.SIGHTINGS, Role.SINK_REDIS, Role.SINK_BIGQUERY)
BEGAN = utc_now().replace(microsecond=0) - timedelta(hours=1)


class Site:
    """Topics, a dataset and workers of its own on the shared services; cameras of one user."""

    def __init__(self, services: LocalServices, folder: Path) -> None:
        name = f"sightings-{uuid.uuid4().hex[:8]}"
        self.settings = Settings(
            **services.addresses.settings(),
            home=folder,
            topic_prefix=f"{name}.",
            redis_prefix=f"{name}:",
            bigquery_dataset=name.replace("-", "_"),
            partitions=2,
        )
        topic_admin.create(admin_client(self.settings), self.settings)
        self.tables = Address(
            self.settings.bigquery_project,
            self.settings.bigquery_dataset,
            self.settings.bigquery_rest,
            self.settings.bigquery_grpc,
        )
        apply(self.tables.rest_client(), self.tables.dataset_id)
        self._producer = confluent_kafka.Producer(
            {"bootstrap.servers": self.settings.kafka, "partitioner": "murmur2_random"}
        )
        self._folder = folder
        self._random = np.random.default_rng(0)
        vectors = self._random.standard_normal((8, digest.DIMENSIONS))
        self._people = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._frames = 0
        self.counted: dict[tuple[str, str], list[tuple[Match, FrameVectors]]] = {}
        """What should make sightings, by user and camera."""

    def show(
        self,
        people: Sequence[int | str],
        at_s: float,
        user: str = "ursula",
        camera: str = "door",
        replay_id: str | None = None,
        mode: Mode = Mode.IDENTIFY,
    ) -> None:
        """One frame as embed and match would have told of it; who is given by name is enrolled."""
        self._frames += 1
        at, now, source = BEGAN + timedelta(seconds=at_s), utc_now(), Source("frames", 0, self._frames)
        faces, matched = [], []
        for place, person in enumerate(people):
            number = person if isinstance(person, int) else ENROLLED[person]
            vector = self._people[number] + self._random.normal(0, 0.01, digest.DIMENSIONS)
            box, subject = Box(200.0 * place, 10.0, 100.0, 100.0), person if isinstance(person, str) else None
            faces.append(Face(box, [], QUALITY, vector=vector.astype("<f4").tobytes()))
            candidates = [] if subject is None else [Candidate(subject, 0.75, 0.25, 1e-6)]
            decision = Decision.UNKNOWN if subject is None else Decision.MATCH
            matched.append(MatchedFace(box, [], QUALITY, decision, subject, None, candidates))
        embedding = Embedding(
            event_id=new_event_id(),
            user_id=user,
            origin=FrameOrigin(camera, self._frames, at, mode),
            source=source,
            model_version=digest.CARD.version,
            width=640,
            height=480,
            timings=timings(now),
            faces=faces,
            replay_id=replay_id,
        )
        match = Match(
            event_id=embedding.event_id,
            user_id=user,
            camera_id=camera,
            sequence=self._frames,
            captured_at=at,
            mode=mode,
            source=source,
            model_version=digest.CARD.version,
            threshold_set=digest.CARD.default_threshold,
            width=640,
            height=480,
            timings=timings(now),
            matched_at=now,
            faces=matched,
            replay_id=replay_id,
        )
        self.put(Topic.EMBEDDINGS, embedding)
        self.put(Topic.MATCHES, match)
        if replay_id is None and mode is not Mode.SEARCH:
            self.counted.setdefault((user, camera), []).append((match, FrameVectors.of(embedding)))

    def put(self, topic: Topic, event: Match | Embedding | Erasure | Sighting) -> None:
        self._producer.produce(topic.named(self.settings), codec.encode(event), event.user_id.encode())
        self._producer.flush(30)

    def erase(self, user: str, subject: str | None = None) -> dict[str, dict[str, int]]:
        """What each role answers to an erasure that match has carried out."""
        asked = Erasure(new_event_id(), user, utc_now(), subject, stage=Role.MATCH)
        self.put(Topic.ERASURES, asked)

        def answers() -> dict[str, dict[str, int]] | None:
            found = {
                str(one.stage): dict(one.removed)
                for one in self.events(Topic.ERASURES, Erasure)
                if one.erasure_id == asked.erasure_id and one.stage != Role.MATCH
            }
            return found if len(found) == len(ROLES) else None

        return wait_until(answers, 100)

    @contextmanager
    def worker(self, role: Role) -> Iterator[preloaded.Started]:
        with (self._folder / f"{role}.log").open("ab") as log:
            arguments = ["worker", role.value, "--embedder", "digest"]
            process = preloaded.start(arguments, self._environment(), Path.cwd(), log, log)
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)

    def shown(self, *options: str) -> list[dict[str, object]]:
        """What the command prints."""
        ended = run(("sightings", *options, "--json"), self._environment(), self._folder)
        shown: list[dict[str, object]] = ended.json["sightings"]
        return shown

    def _environment(self) -> dict[str, str]:
        values = self.settings.model_dump(mode="json", exclude_unset=True)
        return environment(**{f"FACESTREAM_{name.upper()}": str(value) for name, value in values.items()})

    def events(self, topic: Topic, kind: type[E]) -> list[E]:
        return [event for _, event in read_events(self.settings, topic, kind)]

    def told(self, user: str = "ursula") -> list[Sighting]:
        """What the topic has, each message once."""
        return list(
            {one.change_id: one for one in self.events(Topic.SIGHTINGS, Sighting) if one.user_id == user}.values()
        )

    def known(self, user: str) -> list[OpenSightings]:
        return [one for _, one in read_open(self.settings, range(2)) if one.user_id == user]

    def all_taken(self) -> bool:
        """Whether the role has committed every match."""
        offsets = committed_offsets(self.settings, group_id(Role.SIGHTINGS, self.settings))
        return sum(count for at, count in offsets.items() if at.topic.endswith("matches")) >= self._frames

    def rows(self, user: str = "ursula") -> list[dict[str, object]]:
        sql = "SELECT * FROM sightings WHERE user_id = @user ORDER BY decided_at, number"
        parameters = [ScalarQueryParameter("user", "STRING", user)]
        return run_query(self.tables.rest_client(), sql, parameters, dataset=self.tables.dataset_id).rows

    def in_redis(self, user: str = "ursula") -> list[str]:
        with closing(SightingResults(self.settings.redis_url, self.settings.redis_prefix)) as results:
            return [one.event["change_id"] for one in results.kept(user)]

    def expected(self, user: str = "ursula") -> list[Sighting]:
        """What the tracker makes of a user's frames, one after the other."""
        told: list[Sighting] = []
        for camera, frames in [(at[1], frames) for at, frames in self.counted.items() if at[0] == user]:
            known = None
            for match, vectors in frames:
                seen = observed(match, vectors, same_person(digest.CARD))
                known, more = tracker.step(known or tracker.nothing_known(user, camera, seen), seen, PLAN)
                told += [codec.decode(codec.encode(one), Sighting) for one in more]
        return told


@pytest.fixture(scope="module")
def site(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One for all tests, each of which has users of its own."""
    return Site(services, tmp_path_factory.mktemp("site"))


def by_id(told: Sequence[Sighting]) -> dict[str, Sighting]:
    return {one.change_id: one for one in told}


def test_sightings_are_told_once_though_the_worker_is_killed(site: Site) -> None:
    for n in range(4):
        site.show(["anna", 1], n / 2)
        site.show([2], n / 2, camera="garden")
    with site.worker(Role.SIGHTINGS) as first:
        wait_until(lambda: len(site.told()) >= 3, 100)
        for n in range(4, 30):
            site.show(["anna", 1][: 1 + n % 2], n / 2)
        site.show(["otto"], 5, replay_id="r1")
        site.show(["otto"], 5, mode=Mode.SEARCH)
        wait_until(site.all_taken, 100)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    assert {one.state for one in site.told()} == {SightingState.BEGIN, SightingState.UPDATE}, "nothing has ended"
    with ExitStack() as workers:
        for role in ROLES:
            workers.enter_context(site.worker(role))
        for n in range(30, 34):
            site.show(["anna", 3], n / 2)
        site.show([], 60)
        # Nothing has come from the garden for long, while the door went on.
        site.show([], 400)
        site.show([], 401)
        wait_until(lambda: sum(one.state is SightingState.END for one in site.told()) == 4, 100)
        wait_until(lambda: len(site.rows()) == len(site.told()) == len(site.in_redis()), 100)

    garden = {one.sighting_id for one in site.told() if one.camera_id == "garden"}
    assert len(garden) == 1
    told = {i: one for i, one in by_id(site.told()).items() if one.sighting_id not in garden}
    expected = by_id([one for one in site.expected() if one.sighting_id not in garden])
    assert told == expected, "killed or not, the same frames make the same sightings"
    assert sorted(str(one.subject_id) for one in told.values() if one.state is SightingState.END) == [
        "None",
        "None",
        "anna",
    ]
    changes = [row["change_id"] for row in site.rows()]
    assert sorted(changes) == sorted(by_id(site.told()))
    assert sorted(site.in_redis()) == sorted(by_id(site.told()))

    shown = site.shown("--user", "ursula")
    assert {one["sighting_id"] for one in shown} == {one.sighting_id for one in site.told()}
    assert {one["state"] for one in shown} == {"end"}
    assert [one["sighting_id"] for one in site.shown("--user", "ursula", "--camera", "garden")] == list(garden)
    assert [one["state"] for one in site.shown("--user", "ursula", "--last", "1")] == ["end"]


def test_who_is_erased_is_gone_from_everywhere_though_the_sighting_is_open(site: Site) -> None:
    with ExitStack() as workers:
        for role in ROLES:
            workers.enter_context(site.worker(role))
        site.show([ANNA], 0, user="vera")  # nobody knows her yet
        site.show([ANNA], 0.1, user="vera")
        for n in range(3):
            site.show(["anna", "otto"], 1 + n, user="vera")
        site.show(["bert"], 1, user="other")
        wait_until(lambda: len(site.rows("vera")) >= 3 and len(site.in_redis("vera")) >= 3, 100)
        wait_until(lambda: len(site.rows("other")) == 1, 100)
        annas = [
            one
            for one in site.told("vera")
            if one.sighting_id in {i.sighting_id for i in site.told("vera") if i.subject_id == "anna"}
        ]
        assert {one.subject_id for one in annas} == {None, "anna"}
        wait_until(lambda: len(site.rows("vera")) == len(site.told("vera")) == len(site.in_redis("vera")), 100)

        planned = preview_erasure(site.settings, "vera", "anna").would_remove
        removed = site.erase("vera", "anna")
        assert planned[Role.SINK_BIGQUERY]["sightings"] == removed[Role.SINK_BIGQUERY]["sightings"] == len(annas)
        assert planned[Role.SINK_REDIS]["sightings"] == removed[Role.SINK_REDIS]["sightings"] == len(annas)
        assert removed[Role.SIGHTINGS] == {"open_sightings": 1}
        assert {row["subject_id"] for row in site.rows("vera")} == {"otto"}
        assert not {one.change_id for one in annas} & set(site.in_redis("vera"))
        assert "anna" not in str(site.known("vera")) and "otto" in str(site.known("vera"))

        site.show([ANNA, "otto"], 5, user="vera")
        site.show([ANNA], 6, user="vera")
        site.show([], 30, user="vera")
        wait_until(lambda: len([row for row in site.rows("vera") if row["state"] == "end"]) == 2, 100)
        ended = [one for one in site.told("vera") if one.state is SightingState.END]
        assert sorted(str(one.subject_id) for one in ended) == ["None", "otto"]
        assert not {one.sighting_id for one in ended} & {one.sighting_id for one in annas}, "what goes on is new"

        assert site.erase("vera")[Role.SIGHTINGS] == {"open_sightings": 1}
        assert site.rows("vera") == [] and site.in_redis("vera") == [] and site.known("vera") == []
        assert len(site.rows("other")) == 1 and len(site.in_redis("other")) == 1


def test_what_has_been_under_way_since_before_the_erasure_is_not_written(site: Site) -> None:
    for n in range(3):
        site.show(["anna"], n, user="willa")
    with site.worker(Role.SIGHTINGS):
        wait_until(lambda: site.told("willa"), 100)
        wait_until(site.all_taken, 100)
    # The worker is away with an open sighting while she is erased; then somebody else's frame ends it.
    asked = Erasure(new_event_id(), "willa", utc_now(), "anna", stage=Role.MATCH)
    site.put(Topic.ERASURES, asked)
    late = replace(site.told("willa")[0], change_id=new_event_id(), state=SightingState.END, number=9)
    site.put(Topic.SIGHTINGS, late)
    site.show(["otto"], 400, user="willa")
    with ExitStack() as workers:
        for role in ROLES:
            workers.enter_context(site.worker(role))
        wait_until(lambda: {row["subject_id"] for row in site.rows("willa")} == {"otto"}, 100)
        wait_until(lambda: site.in_redis("willa"), 100)
        wait_until(site.all_taken, 100)
    assert {row["subject_id"] for row in site.rows("willa")} == {"otto"}
    assert late.change_id not in site.in_redis("willa") and len(site.in_redis("willa")) == 1


def test_times_are_the_streams(site: Site) -> None:
    assert datetime.now(UTC) - BEGAN > timedelta(minutes=59), "an hour behind the clock nothing ends by the clock"
    site.show(["anna"], 0, user="xenia")
    site.show(["anna"], 1, user="xenia")
    with site.worker(Role.SIGHTINGS):
        wait_until(site.all_taken, 100)
        assert [one.state for one in site.told("xenia")] == [SightingState.BEGIN]
        site.show([], 11.5, user="xenia")
        wait_until(lambda: [one.state for one in site.told("xenia")] == [SightingState.BEGIN, SightingState.END], 100)
