"""A stream of several cameras: everybody is recognised, and every event is accounted for, once."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from streams.devtools.local_stack import Stack
from streams.devtools.reconciliation import Reconciliation
from streams.devtools.synthetic_frames import Scene
from tests.integration.clients import Clients, named, new_user


def test_three_hundred_frames(stack: Stack, clients: Clients, photos: Path) -> None:
    users = {new_user("alice"): "obama", new_user("bob"): "biden"}
    sent: dict[str, str | None] = {}
    uploads = [
        clients.producer.enrol(user, photos / f"{subject}.jpg", consent="tests", subject_id=subject).event_id
        for user, subject in users.items()
    ]
    scenes = {name: iter(Scene(photos / f"{photo}.jpg")) for name, photo in (("obama", "obama2"), ("biden", "biden"))}
    for jpegs in islice(zip(*scenes.values(), strict=True), 75):
        for who, jpeg in zip(scenes, jpegs, strict=True):
            for user, enrolled in users.items():
                frame = clients.producer.frame(user, jpeg, camera_id=f"camera-{who}")
                sent[frame.event_id] = who if who == enrolled else None
    assert len(sent) == 300

    accounts = Reconciliation(stack.settings)
    account = accounts.settle([*uploads, *sent], list(users), timeout_s=120)
    accounts.close()
    assert (account.lost, account.duplicates) == (0, 0)
    assert account.in_redis == account.in_bigquery == len(account.live_at) == 302
    wrong = [one for one, who in sent.items() if set(named(account.answers[one])) - {who, None}]
    missed = [one for one, who in sent.items() if who is not None and who not in named(account.answers[one])]
    assert not wrong
    assert len(missed) <= 3

    # Each camera's answers come in the order of its frames.
    for user in users:
        last = [one for one in sent if account.answers[one]["user_id"] == user][-1]
        entries = clients.live(user, until=last)
        for who in scenes:
            of_camera = [entry["sequence"] for entry in entries if entry.get("camera_id") == f"camera-{who}"]
            assert of_camera == list(range(75))


def test_an_account_of_what_is_missing(stack: Stack, clients: Clients, user: str) -> None:
    """The account itself can tell: an event that never was sent counts as lost."""
    accounts = Reconciliation(stack.settings)
    account = accounts.settle(["00000000-0000-4000-8000-000000000000"], [user], timeout_s=0)
    accounts.close()
    assert (account.lost, account.in_redis, account.in_bigquery) == (1, 0, 0)


@pytest.mark.parametrize("camera", ["front door / left", "Tür №1", "{braces}:*?[a]"])
def test_names_may_be_any_text(camera: str, clients: Clients, photos: Path) -> None:
    user, subject = new_user(f"{camera} 用户"), 'Łukasz O\'Hara "the" {one}'
    upload = clients.producer.enrol(user, photos / "obama.jpg", consent="für immer", subject_id=subject)
    frame = clients.producer.frame(user, photos / "obama2.jpg", camera_id=camera)
    assert named(clients.answers([upload.event_id, frame.event_id])[frame.event_id]) == [subject]
    clients.await_latest(user, camera, frame.event_id)
    clients.await_subjects(user, {subject: 1})
    row = clients.row("matches", frame.event_id)
    assert (row["user_id"], row["camera_id"], row["faces"][0]["subject_id"]) == (user, camera, subject)
