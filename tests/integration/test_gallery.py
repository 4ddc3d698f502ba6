"""Who is in a user's gallery."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from PIL import ImageEnhance

from schemas.as_json import time_text
from schemas.clock import utc_now
from schemas.ingest import Consent, Mode
from streams.devtools.local_stack import Stack
from streams.operations.erase import erase
from streams.training_data.chip_store import read_kept_chips
from tests.integration.clients import Clients, Json, eventually, facestream, named, new_user
from tests.integration.conftest import Portraits
from tests.integration.pictures import decoded, encoded


def test_users_do_not_share_galleries(clients: Clients, portraits: Portraits) -> None:
    pairs = {new_user(f"tenant-{number}"): ("obama", "biden")[number % 2] for number in range(8)}
    for user, subject in pairs.items():
        clients.producer.enrol(user, getattr(portraits, subject), consent="tests", subject_id=subject)
    asked = {clients.producer.frame(user, portraits.obama2, camera_id="door").event_id: user for user in pairs}
    for event_id, answer in clients.answers(list(asked)).items():
        enrolled = pairs[asked[event_id]]
        (face,) = answer["faces"]
        assert [one["subject_id"] for one in face["candidates"]] == [enrolled]
        assert face["subject_id"] == ("obama" if enrolled == "obama" else None)


def test_several_templates_a_subject(clients: Clients, user: str, portraits: Portraits) -> None:
    def asked() -> float:
        sent = clients.producer.frame(user, portraits.obama3, camera_id="door")
        (face,) = clients.answer(sent.event_id)["faces"]
        assert face["subject_id"] == "obama"
        assert len(face["candidates"]) == 1
        return float(face["candidates"][0]["distance"])

    distances = []
    for number, photo in enumerate((portraits.obama2, portraits.obama, portraits.obama3), start=1):
        sent = clients.producer.enrol(user, photo, consent="tests", subject_id="obama")
        assert clients.answer(sent.event_id)["templates"] == number
        distances.append(asked())
    clients.await_subjects(user, {"obama": 3})
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.01 < distances[-2]


def test_one_person_as_two_subjects(
    clients: Clients, stack: Stack, user: str, portraits: Portraits, tmp_path: Path
) -> None:
    """The nearer photograph has the name, the other is listed; verify answers for each by itself."""
    uploads = [
        clients.producer.enrol(user, photo, consent="tests", subject_id=subject).event_id
        for subject, photo in (("barack", portraits.obama), ("president", portraits.obama2))
    ]
    outcomes = clients.answers(uploads)
    assert [outcomes[one]["similar_subject_id"] for one in uploads] == [None, "barack"]
    assert "same person" in outcomes[uploads[1]]["detail"]
    told = facestream(stack.environment(), tmp_path, "subjects", "duplicates", "--user", user, "--json")
    [pair] = json.loads(told.stdout.splitlines()[-1])["duplicates"]
    assert (pair["user_id"], pair["subject_id"], pair["other_subject_id"]) == (user, "barack", "president")
    (tmp_path / "third.jpg").write_bytes(portraits.obama3)
    again = facestream(stack.environment(), tmp_path, "enrol", "--user", user, "--subject", "third", "third.jpg")
    assert "perhaps the same person: third and" in again.stderr
    erase(clients.settings, user, "third")
    identified = clients.producer.frame(user, portraits.obama3, camera_id="door")
    verified = [
        clients.producer.frame(user, portraits.obama3, camera_id="door", mode=Mode.VERIFY, subject_id=subject)
        for subject in ("barack", "president")
    ]
    answers = clients.answers([identified.event_id, *(sent.event_id for sent in verified)])
    (face,) = answers[identified.event_id]["faces"]
    assert (face["subject_id"], face["ambiguous"]) == ("barack", True)
    assert [one["subject_id"] for one in face["candidates"]] == ["barack", "president"]
    assert clients.row("matches", identified.event_id)["faces"][0]["ambiguous"] is True
    shown = clients.query("SELECT ambiguous FROM faces WHERE user_id = @user AND mode = 'identify'", user=user)
    assert shown == [{"ambiguous": True}]
    assert face["candidates"][0]["distance"] < face["candidates"][1]["distance"]
    assert [named(answers[sent.event_id]) for sent in verified] == [["barack"], ["president"]]


def test_a_subject_has_room_for_so_many_photos(clients: Clients, user: str, portraits: Portraits) -> None:
    room = clients.settings.max_templates_per_subject
    portrait = decoded(portraits.obama)
    photos = [encoded(ImageEnhance.Brightness(portrait).enhance(0.8 + n / 200)) for n in range(room + 1)]
    uploads = [clients.producer.enrol(user, photo, consent="tests") for photo in photos]
    answers = clients.answers([sent.event_id for sent in uploads])
    *enrolled, refused = (answers[sent.event_id] for sent in uploads)
    assert [answer["templates"] for answer in enrolled] == list(range(1, room + 1))
    assert refused["refusal"]["reason"] == "subject_full"
    clients.await_subjects(user, {user: room})


def test_the_same_photo_every_night_is_one_template(
    clients: Clients, stack: Stack, user: str, portraits: Portraits, photo_store: Path, tmp_path: Path
) -> None:
    def enrol(photo: bytes | str) -> Json:
        agreed = Consent("tests", utc_now(), training=True)
        return clients.answer(clients.producer.enrol(user, photo, subject_id="obama", consent=agreed).event_id)

    first = enrol(portraits.obama)
    (photo_store / f"{user}.jpg").write_bytes(portraits.obama)
    for photo in [portraits.obama] * 3 + [f"{photo_store.as_uri()}/{user}.jpg"]:
        again = enrol(photo)
        assert (again["outcome"], again["templates"], again["repeats"]) == ("enrolled", 1, first["event_id"])
        assert "enrolled already" in again["detail"]
    row = clients.row("enrolments", again["event_id"])
    assert (row["repeats"], row["detail"]) == (first["event_id"], again["detail"])
    environment = stack.environment()
    facestream(environment, tmp_path, "replay", "uploads", "--from=-1h", "-u", user, "--into-gallery")
    assert clients.results.subjects(user) == {"obama": 1}
    kept = [one.chip.event_id for one in read_kept_chips(stack.settings).of(user, None)]
    assert kept == [first["event_id"]]
    assert enrol(portraits.obama2)["templates"] == 2
    assert erase(stack.settings, user, "obama").removed["match"] == {"templates": 2}
    new = enrol(portraits.obama)
    assert (new["outcome"], new["templates"], new["repeats"]) == ("enrolled", 1, None)


def test_a_person_is_forgotten_when_the_consent_ends(clients: Clients, user: str, portraits: Portraits) -> None:
    now = utc_now()
    ends_at = now + timedelta(seconds=3)
    enrolled = clients.producer.enrol(user, portraits.obama, consent=Consent("tests", now, ends_at))
    assert clients.answer(enrolled.event_id)["outcome"] == "enrolled"

    def forgotten() -> bool:
        sent = clients.producer.frame(user, portraits.obama2, camera_id="door")
        answer = clients.answer(sent.event_id)
        (face,) = answer["faces"]
        if face["decision"] == "match":
            assert answer["timings"]["received_at"] < time_text(ends_at)
        return bool(face["reason"] == "empty_gallery")

    eventually(forgotten, "the template is gone")
    assert utc_now() >= ends_at
