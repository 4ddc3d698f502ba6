"""Topics that were there once and are gone: a loss, which a person accepts, and not a first start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from streams.kafka import topic_admin
from streams.kafka.connection import metadata
from streams.kafka.topic_record import FILE, TopicRecord, TopicsLost
from streams.kafka.topics import Topic
from streams.matching.changelog import changelog_name, ensure_changelog
from streams.operations.doctor.cluster import check
from streams.operations.doctor.finding import Status
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings
from tests.streams.operations.doctor.ledger import heals, look


@pytest.fixture
def used(empty: Settings, admin: AdminClient, tmp_path: Path) -> Settings:
    """Settings of a cluster with topics and a changelog, which their home knows of."""
    settings = empty.model_copy(update={"home": tmp_path})
    topic_admin.create(admin, settings)
    ensure_changelog(admin, settings, settings.partitions)
    return settings


def _delete(admin: AdminClient, settings: Settings, *names: str) -> None:
    for deleted in admin.delete_topics(list(names)).values():
        deleted.result(60)
    while set(names) & set(metadata(admin, settings).topics):
        pass


@heals(Remedy.LOST_TOPICS)
def test_lasting_topics_are_made_anew_only_when_that_is_accepted(used: Settings, admin: AdminClient) -> None:
    models, frames, changelog = Topic.MODELS.named(used), Topic.FRAMES.named(used), changelog_name(used)
    _delete(admin, used, models, frames, changelog)
    for _ in range(2):
        with pytest.raises(TopicsLost) as told:
            topic_admin.create(admin, used)
        assert f"{models} (which model version answers)" in str(told.value)
        assert f"{changelog} (the galleries)" in str(told.value)
        assert frames not in str(told.value) and "--accept-loss" in str(told.value)
        with pytest.raises(TopicsLost, match=changelog):
            ensure_changelog(admin, used, used.partitions)
        assert not {models, frames, changelog} & set(metadata(admin, used).topics)
    found = look(check(used))
    assert found["lost topics"].status is Status.FAIL
    assert models in found["lost topics"].observed and changelog in found["lost topics"].observed
    assert "facestream topics create --accept-loss" in (found["lost topics"].remedy or "")
    assert "facestream topics create" not in {one.remedy for one in found.values()}, "as if nothing had been"

    did = {change.name: change for change in topic_admin.create(admin, used, accept_loss=True)}
    assert did[models].did == did[frames].did == "created"
    assert "what it held is gone" in did[models].detail
    ensure_changelog(admin, used, used.partitions)
    assert {change.did for change in topic_admin.create(admin, used)} == {"unchanged"}
    assert "lost topics" not in look(check(used))


def test_topics_through_which_events_only_pass_are_made_anew(used: Settings, admin: AdminClient) -> None:
    frames = Topic.FRAMES.named(used)
    _delete(admin, used, frames)
    [change] = [one for one in topic_admin.create(admin, used) if one.did == "created"]
    assert change.name == frames and "what it held is gone" in change.detail


class LateBrokers:
    """An admin client whose brokers first tell what they knew earlier."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._earlier = [admin.list_topics(timeout=20)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._admin, name)

    def list_topics(self, *, timeout: float) -> Any:
        return self._earlier.pop() if self._earlier else self._admin.list_topics(timeout=timeout)


def test_a_topic_that_another_worker_creates_meanwhile_is_not_lost(
    empty: Settings, admin: AdminClient, tmp_path: Path
) -> None:
    settings = empty.model_copy(update={"home": tmp_path})
    late = LateBrokers(admin)
    topic_admin.create(admin, settings)
    ensure_changelog(admin, settings, settings.partitions)
    ensure_changelog(cast(AdminClient, late), settings, settings.partitions)
    assert changelog_name(settings) in metadata(admin, settings).topics


def test_what_several_processes_note_at_once_is_all_noted(tmp_path: Path) -> None:
    names = [f"topic-{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: TopicRecord(tmp_path).note("cluster", [name], own=True), names))
    assert sorted(TopicRecord(tmp_path).known("cluster", own=True)) == sorted(names)


def test_a_home_of_an_earlier_version_learns_what_is_there(used: Settings, admin: AdminClient) -> None:
    (used.home / FILE).unlink()
    assert {change.did for change in topic_admin.create(admin, used)} == {"unchanged"}
    cluster = str(metadata(admin, used).cluster_id)
    named = {topic.named(used) for topic in Topic} | {changelog_name(used)}
    assert set(TopicRecord(used.home).known(cluster)) >= named


def test_another_prefix_is_another_matter(used: Settings, admin: AdminClient) -> None:
    other = used.model_copy(update={"topic_prefix": f"{used.topic_prefix}other."})
    _delete(admin, used, Topic.MODELS.named(used))
    assert {change.did for change in topic_admin.create(admin, other)} == {"created"}
    names = [topic.named(other) for topic in Topic]
    admin.describe_topics(TopicCollection(names))
    with pytest.raises(TopicsLost):
        topic_admin.create(admin, used)


def test_the_record_of_an_own_cluster_outlives_its_data(tmp_path: Path) -> None:
    record = TopicRecord(tmp_path)
    record.note("far", ["far"])
    record.note("first", ["models", "chips"], own=True)
    assert set(record.known("second", own=True)) == {"models", "chips"}
    assert not record.known("second"), "of another cluster nothing is known"
    record.note("second", ["models"], gone=["chips"], own=True)
    assert set(record.known("second")) == {"models"}
    assert set(record.known("far")) == {"far"} and not record.known("first")


def test_a_record_that_is_rubbish_or_cannot_be_written_keeps_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for content in ("", "[]", '{"clusters": 3}', "\0"):
        (tmp_path / FILE).write_text(content)
        record = TopicRecord(tmp_path)
        assert record.known("one", own=True) == {}
        record.note("one", ["models"])
        assert set(record.known("one")) == {"models"}
    (tmp_path / "file").touch()
    TopicRecord(tmp_path / "file" / "home").note("one", ["models"])
    assert "it is not noted" in caplog.text
