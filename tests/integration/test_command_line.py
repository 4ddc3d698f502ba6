"""A day with the command line, by real commands: what one person does and another sees."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streams.devtools.local_stack import Stack
from streams.devtools.synthetic_frames import HEIGHT, WIDTH, Scene
from streams.kafka.topics import Topic
from tests.integration import pictures
from tests.integration.clients import Clients, eventually, facestream, named

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(stack: Stack, tmp_path: Path) -> Run:
    return lambda *arguments, code=0: facestream(stack.environment(), tmp_path, *arguments, code=code)


def result(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON object that is the last line."""
    last: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return last


def lines(ended: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture
def people(photos: Path, tmp_path: Path) -> Path:
    """A folder for each person, as `enrol --dir` and `evaluate` take it."""
    folder = tmp_path / "people"
    for person, names in {"biden": ["biden"], "obama": ["obama", "obama2", "obama3"]}.items():
        (folder / person).mkdir(parents=True)
        for name in names:
            shutil.copy(photos / f"{name}.jpg", folder / person)
    return folder


@pytest.fixture
def video(photos: Path, tmp_path: Path) -> Path:
    """Two seconds of one person and then one of another."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (WIDTH, HEIGHT))
    for name, frames in (("obama3", 20), ("biden", 10)):
        for jpeg in islice(Scene(photos / f"{name}.jpg"), frames):
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            assert picture is not None
            writer.write(picture)
    writer.release()
    return path


def test_enrol_play_and_watch(run: Run, people: Path, video: Path, tmp_path: Path, user: str) -> None:
    enrolled = result(run("enrol", "--dir", people, "--user", user, "--json"))
    assert (enrolled["enrolled"], enrolled["refused"], enrolled["timed_out"]) == (4, 0, 0)

    (tmp_path / "album").mkdir()
    for number, name in enumerate(("obama/obama2.jpg", "biden/biden.jpg")):
        shutil.copy(people / name, tmp_path / "album" / f"{number}.jpg")
    (tmp_path / "album" / "2.jpg").write_bytes(pictures.landscape())
    album = result(run("play", tmp_path / "album", "--user", user, "--camera", "album", "--json"))
    assert (album["sent"], album["delivered"], album["failed"]) == (3, 3, 0)
    film = result(run("play", video, "--user", user, "--camera", "film", "--fps", 0, "--json"))
    assert film["delivered"] == 30

    watched = lines(run("watch", "--user", user, "--kept", "--count", 37, "--timeout", 60, "--json"))
    assert [entry["kind"] for entry in watched] == ["enrolment"] * 4 + ["match"] * 33
    of_album = [entry for entry in watched if entry.get("camera_id") == "album"]
    assert [named(entry) for entry in of_album] == [["obama"], ["biden"], []]
    assert of_album[2]["refusal"]["reason"] == "no_face"
    of_film = [entry for entry in watched if entry.get("camera_id") == "film"]
    assert [named(entry) for entry in of_film] == [["obama"]] * 20 + [["biden"]] * 10
    for_people = run("watch", "--user", user, "--kept", "--count", 37).stdout
    assert f"{user}/album #1" in for_people
    assert "biden 0." in for_people

    asked = (
        f"SELECT subject_id, sightings FROM sightings_by_day WHERE user_id = '{user}' AND camera_id = 'film' ORDER BY 1"
    )
    seen = [{"subject_id": "biden", "sightings": 10}, {"subject_id": "obama", "sightings": 20}]
    eventually(lambda: result(run("bigquery", "query", "--json", asked))["rows"] == seen, "BigQuery has what Redis has")


def test_verify(run: Run, photos: Path, user: str) -> None:
    assert result(run("enrol", photos / "obama.jpg", "--user", user, "--json"))["enrolled"] == 1
    for photo in ("obama2.jpg", "biden.jpg"):
        run("play", photos / photo, "--user", user, "--mode", "verify")
    watched = lines(run("watch", "--user", user, "--kept", "--count", 3, "--timeout", 60, "--json"))
    assert [entry["faces"][0]["decision"] for entry in watched[1:]] == ["match", "no_match"]


def test_a_refused_photo(run: Run, photos: Path, tmp_path: Path, user: str) -> None:
    (tmp_path / "notes.jpg").write_text("this is no photo")
    ended = run("enrol", photos / "obama.jpg", "notes.jpg", "--user", user, "--json", code=1)
    good, bad = result(ended)["outcomes"]
    assert (good["outcome"], bad["outcome"], bad["reason"]) == ("enrolled", "refused", "undecodable")
    assert "1 of 2 photos refused" in ended.stderr


def test_topics_list(run: Run, stack: Stack) -> None:
    listed = result(run("topics", "list", "--json"))["topics"]
    assert {topic["name"] for topic in listed} == {topic.named(stack.settings) for topic in Topic}
    assert all(topic["exists"] and not topic["differs"] for topic in listed)
    assert {topic["partitions"] for topic in listed} == {stack.settings.partitions}


def test_dead_letters(run: Run, clients: Clients, user: str) -> None:
    at = clients.put(Topic.FRAMES, b"\xc3\x01unknown!" + bytes(20), user)
    (letter,) = clients.letters([at]).values()
    listed = result(run("dead-letters", "list", "--reason", "unknown_schema", "--json"))
    assert {"embed"} == {group["stage"] for group in listed["groups"] if group["topic"] == at.topic}
    shown = result(run("dead-letters", "show", letter.letter_id, "--json"))
    assert (shown["key"], shown["offset"], shown["value_bytes"]) == (user, at.offset, 30)
    assert "756e6b6e6f776e21 is unknown" in shown["message"]
    # Rubbish among the dead letters hides none of them.
    clients.put(Topic.DEAD_LETTERS, b"rubbish", user)
    again = result(run("dead-letters", "list", "--json"))
    assert again["total"] >= listed["total"]


def test_evaluate(run: Run, people: Path) -> None:
    found = result(run("evaluate", people, "--threshold", 1.142, "--json"))
    assert (found["identities"], found["images"], found["faces_not_found"]) == (2, 4, 0)
    assert (found["genuine_pairs"], found["impostor_pairs"]) == (3, 3)
    assert (found["roc_auc"], found["accuracy"], found["threshold"]) == (1.0, 1.0, 1.142)
    assert set(found["tar_at_far"].values()) == {1.0}


def test_shards_and_doctor(run: Run, stack: Stack, clients: Clients, host: str) -> None:
    sent = clients.producer.frame(host, pictures.landscape(), camera_id="door")
    clients.answer(sent.event_id)
    shards = result(run("shards", "--json"))["shards"]
    assert [shard["partition"] for shard in shards] == list(range(stack.settings.partitions))
    assert all(shard["owner"] for shard in shards)
    shard = shards[sent.result(0).partition]
    assert shard["users"] >= 1
    assert shard["templates"] >= 1
    assert "ok" in run("doctor", "--quick").stdout
