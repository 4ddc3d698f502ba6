"""Trainings whose processes are started on several machines."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from infra.ports import LOOPBACK, free_ports
from models.embedder.model import Model, keras_network
from models.training.cluster import JOB, Cluster, UnusableCluster
from models.training.launch import launch
from models.training.plan import Run, TrainingPlan
from models.training.prepare import prepare
from models.training.samples import TrainingSet

STEPS = 6


def test_each_starts_its_own_process_and_they_train_one_version(
    tmp_path: Path, small: Path, small_people: TrainingSet
) -> None:
    plan = TrainingPlan(steps=STEPS, batch=2, bases=0, warm_up=1, validate_every=3, checkpoint_every=3)
    first = Cluster("job-1", tuple(f"{LOOPBACK}:{port}" for port in free_ports(2)), 0)
    other = replace(first, index=1)

    def take_part() -> int:
        run, old_folder = other.await_run(tmp_path, 60)
        return launch(run, old_folder, cluster=other, threads=1).outcomes[0].steps

    with ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(take_part)
        run = prepare(tmp_path / "run", plan, Model.load(small), keras_network(small), small_people)
        with first.announced(tmp_path, run, small):
            ended = launch(run, small, cluster=first, threads=1)
        assert elsewhere.result() == STEPS
    assert len(ended.outcomes) == 2
    assert ended.identical
    with pytest.raises(TimeoutError, match="has prepared no run"):
        other.await_run(tmp_path, 0)


def test_what_tf_config_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert Cluster.from_environment() is None
    workers = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(workers))
    monkeypatch.setenv(JOB, "5e48b24a-e01d")
    assert Cluster.from_environment() == Cluster("5e48b24a-e01d", ("a:1", "b:1"), 1)


@pytest.mark.parametrize(
    ("text", "job", "why"),
    [
        ("no JSON", "a", "names no workers"),
        ('{"cluster": {}}', "a", "names no workers"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"index": 1}}', "a", "1 workers, but this one has the index 1"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"index": 0}}', "", "a unique id"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"index": 0}}', "../a", "a unique id"),
    ],
)
def test_what_it_must_not_say(monkeypatch: pytest.MonkeyPatch, text: str, job: str, why: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    monkeypatch.setenv(JOB, job)
    with pytest.raises(UnusableCluster, match=why):
        Cluster.from_environment()


def test_a_job_hears_of_no_other(tmp_path: Path) -> None:
    one, other = Cluster("one", ("a:1", "b:1"), 0), Cluster("other", ("a:1", "b:1"), 1)
    with one.announced(tmp_path, Run(tmp_path / "run"), tmp_path), pytest.raises(TimeoutError):
        other.await_run(tmp_path, 0)
