"""Uploads and frames of one user have their effects in the order in which they were sent, though on two topics."""

from __future__ import annotations

from streams.devtools.local_stack import Stack
from tests.integration.clients import Clients, named, new_user
from tests.integration.conftest import Portraits

USERS = 50


def send(clients: Clients, portraits: Portraits) -> list[tuple[str, str, str]]:
    """For each of many users, back to back: a frame, the upload of the person on it, and a frame again."""
    sent = []
    for number in range(USERS):
        user = new_user(f"order-{number}")
        before = clients.producer.frame(user, portraits.obama2, camera_id="door")
        upload = clients.producer.enrol(user, portraits.obama, consent="tests", subject_id="obama")
        after = clients.producer.frame(user, portraits.obama2, camera_id="door")
        sent.append((before.event_id, upload.event_id, after.event_id))
    return sent


def assert_in_order(clients: Clients, sent: list[tuple[str, str, str]]) -> None:
    """What was sent before the upload met an empty gallery, what was sent after it the person."""
    answers = clients.answers([event_id for events in sent for event_id in events], timeout_s=120)
    for before, upload, after in sent:
        (face,) = answers[before]["faces"]
        assert (face["decision"], face["reason"]) == ("unknown", "empty_gallery")
        assert answers[upload]["outcome"] == "enrolled"
        assert named(answers[after]) == ["obama"]


def test_of_what_is_sent_back_to_back(clients: Clients, portraits: Portraits) -> None:
    assert_in_order(clients, send(clients, portraits))


def test_of_what_has_waited(stack: Stack, clients: Clients, portraits: Portraits) -> None:
    """A worker that finds both topics full reads neither ahead of the other."""
    stack.services.supervisor.stop("embed-0")
    sent = send(clients, portraits)
    clients.producer.flush(30)
    stack.services.supervisor.restart("embed-0")
    assert_in_order(clients, sent)
