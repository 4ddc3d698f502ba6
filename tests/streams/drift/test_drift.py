"""A camera that degrades, through real Kafka, workers of which one is killed, BigQuery, metrics and the doctor."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import confluent_kafka
import numpy as np
import pytest
from google.cloud.bigquery import ScalarQueryParameter

from infra.services import LocalServices
from models.testing import digest
from schemas import codec
from schemas.clock import utc_now
from schemas.drift import Drift, DriftSample
from schemas.embeddings import Embedding, Face, FrameOrigin
from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.parts import Box, Decision, Quality, Source
from schemas.results import Candidate, Match, MatchedFace
from sinks.bigquery import Address, apply, run_query
from streams.drift.alarms import CameraAlarms
from streams.drift.samples import Part, read_samples
from streams.kafka import topic_admin
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import committed_offsets, group_id
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.operations.doctor.drift import check
from streams.operations.doctor.finding import Status
from streams.roles import Role
from streams.settings import Settings
from tests.sinks.examples import timings
from tests.streams.cli.conftest import command, environment
from tests.waiting import wait_until

USER, PEOPLE = "ursula", 12
GOOD, BLURRED = 500.0, 20.0
DECIDED = {"margin", "unknown_rate"}
"""The measures of decisions."""


class Deployment:
    """Topics, a dataset and workers of its own on the shared services."""

    def __init__(self, services: LocalServices, folder: Path) -> None:
        name = f"drift-{uuid.uuid4().hex[:8]}"
        self.settings = Settings(
            **services.addresses.settings(),
            home=folder,
            topic_prefix=f"{name}.",
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
        vectors = self._random.standard_normal((PEOPLE, digest.DIMENSIONS))
        self._people = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._sent = 0

    def stream(self, frames: int, sharpness: float, camera: str = "door", replay_id: str | None = None) -> None:
        """Frames of people in turn, as embed and match would have told of them."""
        for _ in range(frames):
            self._sent += 1
            person = self._sent // 3 % PEOPLE
            self._put(*self._seen(camera, person, sharpness * self._random.lognormal(0, 0.3), replay_id))
        self._producer.flush(30)

    def _seen(self, camera: str, person: int, sharpness: float, replay_id: str | None) -> tuple[Embedding, Match]:
        now, box, source = utc_now(), Box(0, 0, 9, 9), Source("frames", 0, self._sent)
        quality = Quality(0.9, 60.0, sharpness, 0.5, 0.0, 1.0)
        vector = self._people[person] + self._random.normal(0, 0.02, digest.DIMENSIONS)
        embedding = Embedding(
            event_id=new_event_id(),
            user_id=USER,
            origin=FrameOrigin(camera, self._sent, now, Mode.IDENTIFY),
            source=source,
            model_version=digest.CARD.version,
            width=640,
            height=480,
            timings=timings(now),
            faces=[Face(box, [], quality, vector=vector.astype("<f4").tobytes())],
            replay_id=replay_id,
        )
        match = Match(
            event_id=embedding.event_id,
            user_id=USER,
            camera_id=camera,
            sequence=self._sent,
            captured_at=now,
            mode=Mode.IDENTIFY,
            source=source,
            model_version=digest.CARD.version,
            threshold_set=digest.CARD.default_threshold,
            width=640,
            height=480,
            timings=timings(now),
            matched_at=now,
            faces=[
                MatchedFace(
                    box, [], quality, Decision.MATCH, f"s{person}", None, [Candidate(f"s{person}", 0.8, 0.2, 1e-6)]
                )
            ],
            replay_id=replay_id,
        )
        return embedding, match

    def _put(self, embedding: Embedding, match: Match) -> None:
        for topic, event in ((Topic.EMBEDDINGS, embedding), (Topic.MATCHES, match)):
            self._producer.produce(topic.named(self.settings), codec.encode(event), USER.encode())
            self._producer.poll(0)

    @contextmanager
    def worker(self, role: Role) -> Iterator[subprocess.Popen[bytes]]:
        values = self.settings.model_dump(mode="json", exclude_unset=True)
        variables = environment(**{f"FACESTREAM_{name.upper()}": str(value) for name, value in values.items()})
        with (self._folder / f"{role}.log").open("a") as log:
            process = subprocess.Popen(
                command("worker", role, "--embedder", "digest"), env=variables, stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                process.terminate()
                process.wait(30)

    def reports(self) -> list[Drift]:
        return [codec.decode(message.value, Drift) for message in read_topic(self.settings, Topic.DRIFT)]

    def saved(self, part: Part) -> dict[str, DriftSample]:
        """The records of the cameras, by the camera."""
        return {
            one.camera.camera_id: one.sample
            for one in read_samples(self.settings, range(self.settings.partitions))
            if one.part is part
        }

    def reference(self) -> int:
        """How many faces of the camera at the door are saved as its reference."""
        saved = self.saved(Part.REFERENCE).get("door")
        return len(saved.faces) if saved else 0

    def all_committed(self) -> bool:
        offsets = committed_offsets(self.settings, group_id(Role.DRIFT, self.settings))
        return sum(offsets.values()) == 2 * self._sent

    def reports_decisions(self) -> bool:
        """Whether the last report measures decisions; if the worker had read embeddings far ahead, stream more."""
        if {one.name for one in self.reports()[-1].measures} >= DECIDED:
            return True
        self.stream(500, BLURRED)
        until(self.all_committed)
        return False

    def rows(self, sql: str) -> list[dict[str, object]]:
        parameters = [ScalarQueryParameter("user", "STRING", USER)]
        return run_query(self.tables.rest_client(), sql, parameters, dataset=self.tables.dataset_id).rows


def until(so: Callable[[], object], timeout_s: float = 150) -> None:
    wait_until(so, timeout_s)


@pytest.fixture
def deployment(services: LocalServices, tmp_path: Path) -> Deployment:
    return Deployment(services, tmp_path)


def names(report: Drift) -> set[str]:
    return {one.name for one in report.measures if one.alarm}


def test_a_degraded_camera_alarms_though_the_worker_is_killed(deployment: Deployment) -> None:
    deployment.stream(650, GOOD)
    deployment.stream(300, GOOD, "garden")
    deployment.stream(400, BLURRED, "garden", replay_id="r1")
    with deployment.worker(Role.DRIFT) as first:
        until(lambda: deployment.reference() == deployment.settings.drift_reference)
        deployment.stream(100, BLURRED)
        until(deployment.all_committed)
        first.kill()
        first.wait(10)
    before = deployment.saved(Part.REFERENCE)["door"]
    assert [report.frames_in_all for report in deployment.reports()] == [500]

    with ExitStack() as workers:
        workers.enter_context(deployment.worker(Role.DRIFT))
        workers.enter_context(deployment.worker(Role.SINK_BIGQUERY))
        deployment.stream(400, BLURRED)
        until(lambda: any(report.alarm for report in deployment.reports()))
        deployment.stream(500, BLURRED)
        until(lambda: max(report.frames_in_all for report in deployment.reports()) >= 1500)
        until(deployment.reports_decisions)
        until(lambda: len(deployment.rows("SELECT report_id FROM drift")) == len(deployment.reports()))

    reports = deployment.reports()
    assert {report.camera_id for report in reports} == {"door"}, "replays are not counted"
    alarm = next(report for report in reports if report.alarm)
    assert 650 < alarm.frames_in_all <= 650 + 500
    assert "sharpness" in names(alarm)
    assert DECIDED | {"embedding"} <= {one.name for one in reports[-1].measures} - names(reports[-1])
    assert deployment.saved(Part.REFERENCE)["door"].faces == before.faces, "the reference outlived the worker"

    (day,) = deployment.rows("SELECT * FROM drift_by_day WHERE user_id = @user")
    assert (day["camera_id"], day["model_version"], day["reports"]) == ("door", "digest", len(reports))
    assert "sharpness" in str(day["alarms"])
    assert day["reports_with_alarm"] == sum(report.alarm for report in reports)
    assert day["unknown_rate"] == 0
    assert float(str(day["margin"])) == pytest.approx(0.6, abs=0.01)

    (finding,) = check(deployment.settings)
    assert finding.status is Status.WARN
    assert finding.name == f"drift of {USER}/door"
    assert "sharpness was" in finding.observed
    assert f"drift of {USER}/door: " in (CameraAlarms(deployment.settings)() or "")
