"""Hooks through a real Kafka, with workers that are killed, and receivers that are away, slow, or refuse."""

from __future__ import annotations

import dataclasses
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka
import pytest

from infra.services import LocalServices
from schemas import codec
from schemas.clock import utc_now
from schemas.erasure import Erasure
from schemas.hooks import Hook, HookKind
from schemas.ids import new_event_id
from schemas.results import Enrolment, Outcome
from schemas.sightings import Sighting, SightingState
from streams.hooks.pending_log import read_waiting
from streams.hooks.secrets import HookSecret
from streams.hooks.store import add_hook, enable_hook, find_hook, list_hooks, remove_hook, write_hook
from streams.kafka import topic_admin
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import committed_offsets, group_id
from streams.kafka.log_reader import read_events, read_topic
from streams.kafka.topics import Topic
from streams.operations.doctor.finding import Status
from streams.operations.doctor.hooks import check as look_at_hooks
from streams.operations.doctor.remedies import Remedy
from streams.operations.erasure_preview import preview_erasure
from streams.roles import Role
from streams.settings import Settings
from tests.sinks.examples import enrolment, sighting
from tests.streams.cli import preloaded
from tests.streams.cli.conftest import environment
from tests.streams.hooks.conftest import Receiver, shut
from tests.streams.operations.doctor.ledger import heals, look
from tests.waiting import wait_until

ALL = list(HookKind)
SHORT_H = 2 / 3600


class Site:
    """Topics and workers of its own on the shared Kafka."""

    def __init__(self, services: LocalServices, folder: Path) -> None:
        name = f"hooks-{uuid.uuid4().hex[:8]}"
        self.settings = Settings(
            **services.addresses.settings(),
            home=folder,
            topic_prefix=f"{name}.",
            redis_prefix=f"{name}:",
            bigquery_dataset=name.replace("-", "_"),
            partitions=2,
            hook_private_networks=True,
            hook_timeout_s=1.0,
            hook_retry_s=0.2,
        )
        topic_admin.create(admin_client(self.settings), self.settings)
        self._producer = confluent_kafka.Producer(
            {"bootstrap.servers": self.settings.kafka, "partitioner": "murmur2_random"}
        )
        self._folder = folder
        self._put = 0

    def put(self, event: Sighting | Enrolment | Erasure) -> str:
        """Write an event as its role would; return its id."""
        topics = {Sighting: Topic.SIGHTINGS, Enrolment: Topic.ENROLMENTS, Erasure: Topic.ERASURES}
        self._producer.produce(topics[type(event)].named(self.settings), codec.encode(event), event.user_id.encode())
        self._producer.flush(30)
        self._put += not isinstance(event, Erasure)
        return event.change_id if isinstance(event, Sighting) else getattr(event, "event_id", "")

    def see(self, user: str, subject: str = "anna", **changes: object) -> str:
        now = utc_now()
        return self.put(sighting(user_id=user, subject_id=subject, decided_at=now, first_produced_at=now, **changes))

    def enrol(self, user: str, subject: str = "anna", **changes: object) -> str:
        return self.put(enrolment(user_id=user, subject_id=subject, **({"decided_at": utc_now()} | changes)))

    def add(self, receiver: Receiver, user: str | None, kinds: list[HookKind] = ALL) -> tuple[HookSecret, Hook]:
        return add_hook(self.settings, receiver.address, kinds, user=user)

    def erase(self, user: str, subject: str | None = None) -> dict[str, int]:
        """What the role answers to an erasure that match has carried out."""
        asked = Erasure(new_event_id(), user, utc_now(), subject, stage=Role.MATCH)
        self.put(dataclasses.replace(asked, stage=None))
        self.put(asked)

        def answer() -> dict[str, int] | None:
            events = (one for _, one in read_events(self.settings, Topic.ERASURES, Erasure))
            return next(
                (dict(one.removed) for one in events if one.erasure_id == asked.erasure_id and one.stage == "hooks"),
                None,
            )

        return wait_until(answer, 60)

    def all_taken(self) -> bool:
        """Whether the role has committed every event."""
        offsets = committed_offsets(self.settings, group_id(Role.HOOKS, self.settings))
        return sum(count for at, count in offsets.items() if not at.topic.endswith("erasures")) >= self._put

    def waiting(self, user: str) -> list[str]:
        """The ids of what still waits on the topic."""
        return [one.key[1] for one in read_waiting(self.settings) if one.event.user_id == user]

    @contextmanager
    def worker(self, **changes: object) -> Iterator[preloaded.Started]:
        values = self.settings.model_dump(mode="json", exclude_unset=True) | changes
        variables = environment(**{f"FACESTREAM_{name.upper()}": str(value) for name, value in values.items()})
        with (self._folder / "hooks.log").open("ab") as log:
            process = preloaded.start(["worker", "hooks"], variables, Path.cwd(), log, log)
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)

    @property
    def log(self) -> str:
        return (self._folder / "hooks.log").read_text("utf-8")


@pytest.fixture(scope="module")
def site(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One for all tests, each of which has users of its own."""
    return Site(services, tmp_path_factory.mktemp("site"))


@pytest.fixture(autouse=True)
def no_hooks_left(site: Site) -> Iterator[None]:
    yield
    for hook in list_hooks(site.settings):
        remove_hook(site.settings, hook)


def test_each_hook_gets_what_it_is_for_and_everything_is_signed(site: Site, receiver: Receiver) -> None:
    site.see("anna")  # before there is a hook
    other = Receiver()
    server = other.serve()
    secret, _ = site.add(receiver, "anna")
    site.add(other, None, [HookKind.ENROLMENT_REFUSED])
    expected = [
        site.see("anna"),
        site.see("anna", state=SightingState.UPDATE),
        site.see("anna", state=SightingState.END),
        site.enrol("anna"),
    ]
    refused = [site.enrol("anna", outcome=Outcome.REFUSED), site.enrol("bert", outcome=Outcome.REFUSED)]
    site.enrol("anna", replay_id="r1")
    site.enrol("anna", replay_id="r1", corrects=True)
    site.see("bert")
    twice = sighting(user_id="anna", decided_at=utc_now())
    expected += [site.put(twice), refused[0]]
    site.put(twice)
    try:
        with site.worker():
            wait_until(lambda: len(receiver.accepted) >= len(expected) and len(other.accepted) >= 2, 60)
            wait_until(lambda: site.all_taken() and not site.waiting("anna") and not site.waiting("bert"), 60)
    finally:
        shut(server)
    assert sorted(receiver.ids) == sorted(expected), "each once"
    assert sorted(other.ids) == sorted(refused)
    for headers, body in receiver.got:
        at = int(headers["webhook-timestamp"])
        assert headers["webhook-signature"] == secret.signature(headers["webhook-id"], at, body)
    by_type = {one["type"]: one["data"] for one in receiver.accepted}
    assert set(by_type) == set(ALL)
    assert by_type["sighting.begin"]["subject_id"] == "anna"
    assert by_type["enrolment.enrolled"]["event_id"] == expected[3]
    assert secret.text not in site.log and "geheim" not in site.log
    for topic in (Topic.HOOKS, Topic.HOOK_DELIVERIES):
        for message in read_topic(site.settings, topic):
            assert secret.raw not in (message.value or b"") and secret.text.encode() not in (message.value or b"")


def test_nothing_is_lost_when_the_worker_is_killed_and_the_address_is_away(site: Site, receiver: Receiver) -> None:
    away = Receiver()
    shut(away.serve())  # its port is known, and nobody listens
    site.add(away, "clara")
    site.add(receiver, "clara")
    with site.worker() as first:
        ids = [site.see("clara") for _ in range(30)]
        wait_until(lambda: set(receiver.ids) == set(ids), 60)  # not held up by the one that is away
        receiver.slow_s = 0.3
        ids += [site.see("clara") for _ in range(30)]
        wait_until(lambda: len(set(receiver.ids)) >= 35, 60)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    receiver.slow_s = 0
    server = away.serve()
    try:
        with site.worker():
            wait_until(lambda: set(receiver.ids) == set(away.ids) == set(ids), 60)
            wait_until(lambda: not site.waiting("clara"), 60)
    finally:
        shut(server)
    assert len(receiver.ids) - len(ids) <= 30 + 8, "what had been noted does not come again"
    bodies: dict[str, bytes] = {}
    for headers, body in receiver.got + away.got:
        assert bodies.setdefault(headers["webhook-id"], body) == body, "the same in every attempt"


@heals(Remedy.HOOK)
def test_what_an_address_refuses_is_given_up_and_a_dead_one_is_disabled(site: Site, receiver: Receiver) -> None:
    """So is a hook whose address was changed by somebody who has not the key."""
    dead, gone, thief = Receiver(), Receiver(status=410), Receiver()
    shut(dead.serve())
    servers = [gone.serve(), thief.serve()]
    site.add(receiver, "dora")
    of_dead, of_gone, stolen = (site.add(one, "dora")[1] for one in (dead, gone, receiver))
    write_hook(site.settings, dataclasses.replace(stolen, address=thief.address))
    bad = site.see("dora")
    receiver.refused_ids.add(bad)
    good = [site.see("dora") for _ in range(5)]
    try:
        with site.worker(hook_give_up_h=SHORT_H):
            wait_until(lambda: set(good) <= set(receiver.ids), 60)

            def all_disabled() -> bool:
                hooks = {hook.hook_id: hook for hook in list_hooks(site.settings)}
                return all(hooks[one.hook_id].disabled_at for one in (of_dead, of_gone, stolen))

            # A good one now and then: so the address works, and only the event is given up.
            wait_until(lambda: bool(site.see("dora")) and all_disabled() and bad not in site.waiting("dora"), 90)
            reasons = {hook.hook_id: str(hook.disabled_because) for hook in list_hooks(site.settings)}
            assert "does not answer" in reasons[of_dead.hook_id] and "410" in reasons[of_gone.hook_id]
            assert "key file" in reasons[stolen.hook_id] and thief.got == []
            assert receiver.ids.count(bad) >= 3
            working = [hook for hook in list_hooks(site.settings) if hook.disabled_at is None]
            assert [hook.address for hook in working] == [receiver.address]
            wait_until(lambda: not site.waiting("dora"), 60)

            found = look(look_at_hooks(site.settings))
            assert found[f"hook {of_dead.hook_id}"].status is Status.WARN
            assert of_dead.hook_id in str(found[f"hook {of_dead.hook_id}"].remedy)

            server_of_dead = dead.serve()
            enable_hook(site.settings, of_dead.hook_id)
            assert find_hook(site.settings, of_dead.hook_id[:12]).disabled_at is None
            later = site.see("dora")
            wait_until(lambda: dead.ids == [later], 60)
            shut(server_of_dead)
            for one in (of_gone, stolen):
                remove_hook(site.settings, one)
            assert look(look_at_hooks(site.settings))["hooks"].status is Status.OK
    finally:
        for server in servers:
            shut(server)


def test_what_waits_of_whoever_is_erased_or_for_a_hook_that_is_removed_is_dropped(site: Site) -> None:
    away = Receiver()
    shut(away.serve())
    site.add(away, "emma")
    site.add(away, "fred")
    _, of_hanna = site.add(away, "hanna")
    with site.worker():
        site.see("emma", "anna")
        site.enrol("emma", "anna")
        kept = [site.see("emma", "otto"), site.enrol("emma", "otto", similar_subject_id="anna", detail="like anna")]
        site.see("fred", "anna")
        wait_until(lambda: site.all_taken() and len(site.waiting("emma")) == 4, 60)
        assert preview_erasure(site.settings, "emma", "anna").would_remove[Role.HOOKS] == {"hook_deliveries": 3}
        assert site.erase("emma", "anna") == {"hook_deliveries": 3}
        assert sorted(site.waiting("emma")) == sorted(kept)
        assert site.erase("fred") == {"hook_deliveries": 1}
        assert site.waiting("fred") == []
        site.see("hanna")
        wait_until(lambda: site.waiting("hanna"), 60)
        remove_hook(site.settings, of_hanna)
        wait_until(lambda: not site.waiting("hanna"), 60)
    # While no worker runs he is erased as well.
    site.put(Erasure(new_event_id(), "emma", utc_now(), "otto"))
    server = away.serve()
    try:
        with site.worker():
            wait_until(site.all_taken, 60)
            assert site.erase("emma", "otto")["hook_deliveries"] <= 2
            assert site.waiting("emma") == []
    finally:
        shut(server)
    assert away.got == []
