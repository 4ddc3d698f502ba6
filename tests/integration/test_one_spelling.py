"""One thing has one name, however it is spelt: a person, a camera, a user, an event."""

from __future__ import annotations

import dataclasses
import json
import unicodedata
import uuid
from pathlib import Path

import confluent_kafka
import pytest

from schemas import codec
from schemas.clock import utc_now
from schemas.embeddings import Embedding
from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Mode, Picture, Upload
from schemas.learning import Statement
from streams.devtools.local_stack import Stack
from streams.feedback.submit import submit
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.matching.changelog import changelog_name
from streams.matching.gallery_shard import template_key
from streams.operations.erase import erase
from streams.rollout.enrolled_templates import read_enrolled
from streams.training_data.chip_store import read_kept_chips
from tests.integration.clients import Clients, eventually, facestream, named, new_user
from tests.integration.conftest import Portraits


def forms(name: str) -> tuple[str, str]:
    """A name with an accent, composed and decomposed."""
    composed, decomposed = (unicodedata.normalize(form, f"Zo\u00eb-{name}") for form in ("NFC", "NFD"))
    assert composed != decomposed
    return composed, decomposed


def asked(clients: Clients, user: str, photo: bytes, **more: str) -> list[str | None]:
    mode = Mode.VERIFY if "subject_id" in more else Mode.IDENTIFY
    sent = clients.producer.frame(user, photo, camera_id="door", mode=mode, **more)
    return named(clients.answer(sent.event_id))


def uploaded(user: str, subject: str, photo: bytes, **consent: bool) -> Upload:
    now = utc_now()
    return Upload(new_event_id(), user, subject, now, Picture(photo), Consent("tests", now, **consent))


def test_a_person_enrolled_from_a_folder_of_a_mac_is_the_one_whose_name_is_typed(
    clients: Clients, user: str, portraits: Portraits
) -> None:
    composed, decomposed = forms("anna")
    enrolled = clients.producer.enrol(user, portraits.obama, consent="tests", subject_id=decomposed)
    assert clients.answer(enrolled.event_id)["subject_id"] == composed
    assert asked(clients, user, portraits.obama2, subject_id=composed) == [composed]
    assert asked(clients, user, portraits.obama2, subject_id=decomposed) == [composed]
    # A producer in another language, which knows nothing of forms.
    raw = uploaded(user, decomposed, portraits.obama2)
    clients.put(Topic.UPLOADS, codec.encode(raw), user)
    assert clients.answer(raw.event_id)["templates"] == 2
    clients.await_subjects(user, {composed: 2})
    assert clients.row("enrolments", raw.event_id)["subject_id"] == composed
    assert erase(clients.settings, user, decomposed).removed["match"] == {"templates": 2}
    assert asked(clients, user, portraits.obama2) == [None]


def test_a_folder_with_a_name_that_hides_a_character_is_told_of_and_the_others_are_enrolled(
    stack: Stack, user: str, portraits: Portraits, tmp_path: Path
) -> None:
    _, decomposed = forms("anna")
    for name in (decomposed, "otto\u200b"):
        (tmp_path / "people" / name).mkdir(parents=True)
        (tmp_path / "people" / name / "portrait.jpg").write_bytes(portraits.obama)
    for repeated in (False, True):
        ended = facestream(stack.environment(), tmp_path, "enrol", "-u", user, "--dir", "people", "--json", code=1)
        told = json.loads(ended.stdout.splitlines()[-1])
        zoe, otto = sorted(told["outcomes"], key=lambda one: str(one["outcome"]))
        assert (zoe["outcome"], otto["outcome"], otto["reason"]) == ("enrolled", "refused", "invalid_id")
        assert "U+200B" in otto["detail"]
        assert ("enrolled already" in (zoe["detail"] or "")) is repeated


def test_a_user_who_is_spelt_otherwise_has_one_gallery(
    stack: Stack, clients: Clients, portraits: Portraits, tmp_path: Path
) -> None:
    composed, decomposed = forms(new_user())
    # A plain producer keys by the decomposed name, and so writes to another partition than that of the user.
    upload = uploaded(decomposed, "obama", portraits.obama, training=True)
    clients.put(Topic.UPLOADS, codec.encode(upload), decomposed)
    outcome = clients.answer(upload.event_id)
    assert (outcome["user_id"], outcome["outcome"]) == (composed, "enrolled")
    assert asked(clients, composed, portraits.obama2) == ["obama"]
    frame = Frame(new_event_id(), decomposed, "tür", 0, utc_now(), Picture(portraits.obama2))
    clients.put(Topic.FRAMES, codec.encode(frame), decomposed)
    assert named(clients.answer(frame.event_id)) == ["obama"]
    assert clients.row("matches", frame.event_id)["user_id"] == composed
    for name in (composed, decomposed):
        found = clients.results.latest(name, unicodedata.normalize("NFD", "tür"))
        assert found is not None
        assert found["event_id"] == frame.event_id
        assert clients.results.subjects(name) == {"obama": 1}
    # The face to learn from lies where an erasure looks for it.
    (kept,) = read_kept_chips(stack.settings).of(decomposed, "obama")
    assert kept.partition == clients.producer.frame(composed, portraits.biden, camera_id="x").result(30).partition
    # An embedding as a worker of before sent it: match sends it to its user.
    old = next(one for one in embeddings(stack) if one.event_id == frame.event_id)
    old = dataclasses.replace(old, event_id=new_event_id(), user_id=decomposed)
    clients.put(Topic.EMBEDDINGS, codec.encode(old), decomposed)
    assert named(clients.answer(old.event_id)) == ["obama"]

    plan = facestream(
        stack.environment(), tmp_path, "replay", "frames", "--from=-1h", "-u", decomposed, "-e",
        frame.event_id.upper(), "--dry-run", "--json",
    )  # fmt: skip
    assert json.loads(plan.stdout.splitlines()[-1])["events"] == 1
    receipt = erase(stack.settings, decomposed)
    assert receipt.waiting_for == ()
    assert receipt.removed["match"] == {"templates": 1}
    assert receipt.removed["chips"] == {"faces": 1}
    assert asked(clients, composed, portraits.obama2) == [None]
    assert clients.results.subjects(composed) == {}


def embeddings(stack: Stack) -> list[Embedding]:
    found = (one.value for one in read_topic(stack.settings, Topic.EMBEDDINGS))
    return [codec.decode(value, Embedding) for value in found if codec.kind(value) is Embedding]


def test_what_a_release_of_before_has_kept_is_found_and_erased(
    stack: Stack, clients: Clients, host: str, user: str, portraits: Portraits
) -> None:
    """Galleries of names that were compared byte by byte, as their changelog has them."""
    composed, decomposed = forms(new_user())
    both = forms("anna")
    enrolled = eventually(lambda: _templates(stack, host), "the template is in the changelog")

    def of(owner: str, subject: str) -> Template:
        return dataclasses.replace(enrolled[0], template_id=new_event_id(), user_id=owner, subject_id=subject)

    stack.services.supervisor.kill("match-0")
    place = clients.producer.frame(user, portraits.biden, camera_id="door").result(30).partition
    decomposed_at = clients.put(Topic.FRAMES, b"rubbish", decomposed).partition
    producer = confluent_kafka.Producer({"bootstrap.servers": stack.settings.kafka})
    for partition, template in (
        *((place, of(user, name)) for name in both),
        (decomposed_at, of(decomposed, "obama")),
    ):
        key, value = template_key(template), codec.encode(template)
        producer.produce(changelog_name(stack.settings), value, key, partition)
    assert producer.flush(30) == 0
    stack.services.supervisor.restart("match-0")

    # Two subjects that look the same are one: found under both names, erased under either.
    assert asked(clients, user, portraits.obama2, subject_id=both[0]) == [both[0]]
    third = clients.producer.enrol(user, portraits.biden, consent="tests", subject_id=both[1])
    assert clients.answer(third.event_id)["templates"] == 3
    assert erase(stack.settings, user, both[0]).removed["match"] == {"templates": 3}
    assert asked(clients, user, portraits.obama2) == [None]
    # The gallery of a user goes to the partition of his name by itself.
    eventually(lambda: asked(clients, composed, portraits.obama2) == ["obama"], "the gallery has moved")
    clients.await_subjects(composed, {"obama": 1})
    assert erase(stack.settings, composed).waiting_for == ()
    assert asked(clients, composed, portraits.obama2) == [None]


def _templates(stack: Stack, user: str) -> list[Template]:
    found = read_enrolled(stack.settings).templates
    return [next(iter(versions.values())) for (owner, _), versions in found.items() if owner == user]


@pytest.mark.parametrize("form", ["{}", "{{{}}}", "urn:uuid:{}"])
def test_an_event_id_is_found_in_the_form_in_which_it_was_given(
    form: str, stack: Stack, clients: Clients, host: str, portraits: Portraits
) -> None:
    plain = str(uuid.uuid4())
    mine = form.format(plain.upper())
    clients.producer.frame(host, portraits.obama2, camera_id="door", event_id=mine)
    answer = clients.results.wait_for([mine, plain.replace("-", "")], timeout_s=60)
    assert {name: one["event_id"] for name, one in answer.items()} == {mine: plain, plain.replace("-", ""): plain}
    assert clients.results.result(mine) == clients.results.result(plain) != None  # noqa: E711
    assert submit(stack.settings, mine, Statement.IS, "obama").feedback.event_id == plain
    assert not submit(stack.settings, plain, Statement.IS, "obama").is_new
    # A plain producer writes it so onto the topic.
    raw = Frame(str(uuid.uuid4()).upper(), host, "door", 0, utc_now(), Picture(portraits.obama2))
    clients.put(Topic.FRAMES, codec.encode(raw), host)
    assert named(clients.answer(raw.event_id)) == ["obama"]
