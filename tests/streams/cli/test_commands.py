"""The commands against real services and real workers."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer as RawProducer

from infra.photos import sample_photos
from schemas.clock import utc_now
from schemas.codec import encode
from schemas.ids import new_event_id
from schemas.ingest import Consent, Picture, Upload
from tests.streams.cameras.test_sources import write_video
from tests.streams.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("workers")


def test_topics(facestream: Run) -> None:
    created = facestream("topics", "create", "--json")
    assert created.code == 0
    assert set(created.json["topics"].values()) == {"unchanged"}
    listed = facestream("topics", "list", "--json")
    assert listed.code == 0
    assert all(topic["exists"] and topic["partitions"] == 2 for topic in listed.json["topics"])
    shown = facestream("topics", "list").out
    for topic, kept in {"frames": "for 168 h", "chips": "compacted", "replays": "compacted, for 2160 h"}.items():
        assert re.search(rf"\.{topic} .* \d  {kept}$", shown, re.MULTILINE), shown


def test_topics_that_are_missing(facestream: Run) -> None:
    listed = facestream("topics", "list", "--json", FACESTREAM_TOPIC_PREFIX="nobody.")
    assert listed.code == 1
    assert not any(topic["exists"] for topic in listed.json["topics"])
    assert "facestream topics create" in listed.err
    played = facestream("enrol", __file__, FACESTREAM_TOPIC_PREFIX="nobody.")
    assert played.code == 1
    assert "facestream topics create" in played.err


def test_enrol_a_folder(facestream: Run, pictures: Path) -> None:
    ended = facestream("enrol", "--dir", pictures, "--user", "home", "--json")
    assert ended.code == 0, ended.err
    assert ended.out.count("\n") == 1
    result = ended.json
    assert (result["enrolled"], result["refused"], result["timed_out"]) == (3, 0, 0)
    assert [(one["subject_id"], one["outcome"]) for one in result["outcomes"]] == [
        ("anna", "enrolled"),
        ("anna", "enrolled"),
        ("otto", "enrolled"),
    ]
    assert "enrolled" in ended.err


def test_subjects_are_listed_as_the_gallery_has_them(here: Run, pictures: Path) -> None:
    assert "user listed has nobody enrolled" in here("subjects", "list", "-u", "listed").out
    assert here("enrol", "--dir", pictures, "-u", "listed", "--training").code == 0
    listed = here("subjects", "list", "--user", "listed", "--json")
    assert listed.code == 0, listed.err
    anna, otto = listed.json["subjects"]
    assert (anna["subject_id"], anna["templates"], otto["subject_id"], otto["templates"]) == ("anna", 2, "otto", 1)
    assert anna["model_versions"] == {"digest": 2}
    assert anna["first_enrolled_at"] <= anna["last_enrolled_at"]
    assert (anna["consent"]["training"], anna["consent"]["expires_at"]) == (True, None)
    assert (listed.json["users"], listed.json["templates"]) == (1, 3)
    assert here("erase", "-u", "listed", "-s", "anna", "--yes").code == 0
    shown = here("subjects", "list").out
    assert re.search(r"^listed +otto +1 .* and training +no end +digest +enrolled$", shown, re.MULTILINE), shown
    assert not re.search(r"^listed +anna ", shown, re.MULTILINE)
    assert [one["subject_id"] for one in here("subjects", "list", "-u", "listed", "--json").json["subjects"]] == [
        "otto"
    ]


def test_a_folder_without_a_photo_does_not_keep_the_others_out(facestream: Run, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "people")
    (tmp_path / "people" / "berta").mkdir()
    ended = facestream("enrol", "--dir", "people", "-u", "three", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["enrolled"] == 3
    assert "there is no picture in 'people/berta'" in ended.err


def test_a_share_of_a_nas(facestream: Run, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "people")
    for name in ("#recycle/deleted.jpg", "anna/@eaDir/1.jpg/thumb.jpg", "@eaDir/anna/1.jpg", "anna/._1.jpg"):
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures / "anna/1.jpg", tmp_path / "people" / name)
    ended = facestream("enrol", "--dir", "people", "-u", "nas", "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["enrolled"], ended.json["left_out"]) == (3, 4)
    assert {one["subject_id"] for one in ended.json["outcomes"]} == {"anna", "otto"}
    assert "left out: 4 hidden or system files and folders" in ended.err
    played = facestream("play", "people", "-u", "nas", "--json")
    assert played.code == 0, played.err
    assert (played.json["sent"], played.json["left_out"], played.json["unreadable"]) == (3, 4, 0)


def test_one_bad_file_ends_neither_the_run_nor_its_report(facestream: Run, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "people")
    (tmp_path / "people/anna/0.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "people/anna/3.jpg").write_bytes(base64.b64encode((pictures / "anna/1.jpg").read_bytes()))
    ended = facestream("enrol", "--dir", "people", "-u", "bad", "--json")
    assert ended.code == 1
    assert [ended.json[one] for one in ("enrolled", "refused", "timed_out", "failed")] == [3, 1, 0, 1]
    outcomes = {Path(one["photo"]).name: one for one in ended.json["outcomes"] if one["subject_id"] == "anna"}
    assert outcomes["0.jpg"]["detail"] == "the link is broken"
    assert outcomes["3.jpg"]["reason"] == "undecodable"
    assert "Base64" in outcomes["3.jpg"]["detail"]
    assert "1 of 5 photos could not be read or sent" in ended.err
    played = facestream("play", "people", "-u", "bad", "--json")
    assert played.code == 1
    assert [played.json[one] for one in ("sent", "delivered", "refused", "unreadable")] == [3, 3, 1, 1]
    assert "0.jpg' cannot be read: the link is broken" in played.err


def test_a_damaged_video_is_told(facestream: Run, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "clip.avi", "MJPG", 20)
    (tmp_path / "clip.avi").write_bytes(whole[: len(whole) // 2])
    played = facestream("play", "clip.avi", "-u", "film", "--fps", "0", "--json")
    assert played.code == 1
    assert played.json["sent"] == played.json["delivered"] == 20 - played.json["unreadable"] > 0
    assert f"{played.json['unreadable']} of 20 frames of 'clip.avi' could not be read" in played.err


def test_a_refused_photo_fails_and_says_why(facestream: Run, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    ended = facestream("enrol", pictures / "anna/1.jpg", tmp_path / "empty.jpg", "-u", "poor", "-s", "anna", "--json")
    assert ended.code == 1
    good, bad = ended.json["outcomes"]
    assert (good["outcome"], good["subject_id"]) == ("enrolled", "anna")
    assert (bad["outcome"], bad["reason"], bad["event_id"]) == ("refused", "empty_picture", None)
    assert "empty_picture" in ended.err


def test_no_outcome_in_time_fails(facestream: Run, pictures: Path) -> None:
    ended = facestream("enrol", pictures / "anna/1.jpg", "--timeout", "0", "--json")
    assert ended.code == 1
    assert ended.json["timed_out"] == 1
    assert "facestream doctor" in ended.err


def test_what_was_sent_is_told_where_nobody_can_be_asked_for_outcomes(facestream: Run, pictures: Path) -> None:
    ended = facestream("enrol", pictures / "anna/1.jpg", "--json", FACESTREAM_REDIS_URL="redis://127.0.0.1:1/0")
    assert ended.code == 1
    assert "no Redis answers" in ended.err
    assert ended.json["outcomes"][0]["outcome"] == "sent"


def test_no_wait(facestream: Run, pictures: Path) -> None:
    ended = facestream("enrol", pictures / "anna/1.jpg", "-u", "later", "--no-wait", "--json")
    assert ended.code == 0
    assert ended.json["outcomes"][0]["outcome"] == "sent"


def test_play_and_watch(facestream: Run, pictures: Path) -> None:
    user = "player"
    assert facestream("enrol", "--dir", pictures, "-u", user).code == 0
    played = facestream("play", pictures, "-u", user, "-c", "door", "--loop", "-n", "6", "--json")
    assert played.code == 0, played.err
    assert (played.json["sent"], played.json["delivered"], played.json["failed"]) == (6, 6, 0)
    watched = facestream("watch", "-u", user, "--kept", "-n", 3 + 6, "--timeout", "30", "--json")
    assert watched.code == 0, watched.err
    entries = [json.loads(line) for line in watched.out.splitlines()]
    assert [entry["kind"] for entry in entries] == ["enrolment"] * 3 + ["match"] * 6
    assert [entry["faces"][0]["subject_id"] for entry in entries[3:]] == ["anna", "anna", "otto"] * 2
    shown = facestream("watch", "-u", user, "--kept", "-n", "9", "--timeout", "30", COLUMNS="40")
    assert shown.out.count("\n") == 9, "an answer is a line"
    assert "player/door #5" in shown.out
    assert "otto" in shown.out
    assert facestream("play", pictures, "-u", user, "-c", "door", "-n", "1", "--fps", "0").code == 0
    wait = ("-n", 3 + 6 + 1, "--timeout", "30")
    numbered = facestream("watch", "-u", user, "--kept", *wait, "--details").out
    assert "player/door #6" in numbered, "a camera that goes on does not begin to count again"
    assert entries[0]["event_id"] in numbered
    latest = facestream("watch", "-u", user, "--last", "2", "--timeout", "1")
    assert latest.out.count("\n") == 2
    assert "#6" in latest.out.splitlines()[1]
    assert latest.err == "listening; Ctrl-C ends\n"


def test_verify(facestream: Run, pictures: Path) -> None:
    user = "verifier"
    assert facestream("enrol", pictures / "anna/1.jpg", "-u", user, "-s", "anna").code == 0
    ask = ("play", pictures / "anna/1.jpg", "-u", user, "--mode", "verify")
    assert facestream(*ask, "-s", "anna").code == 0
    assert facestream(*ask).code == 0
    watched = facestream("watch", "-u", user, "--kept", "-n", "3", "--timeout", "30", "--json")
    decisions = [json.loads(line)["faces"][0]["decision"] for line in watched.out.splitlines()[1:]]
    assert decisions == ["match", "no_match"]


def test_watching_everybody_ends_when_the_time_is_over(facestream: Run) -> None:
    assert facestream("watch", "--timeout", "1").code == 0
    ended = facestream("watch", "-u", "nobody", "-n", "1", "--timeout", "1")
    assert ended.code == 1
    assert "0 of 1" in ended.err


def test_dead_letters(facestream: Run, cluster: dict[str, str], tmp_path: Path) -> None:
    raw = RawProducer({"bootstrap.servers": cluster["FACESTREAM_KAFKA"]})
    now = utc_now()
    strange = encode(Upload(new_event_id(), "anna", "anna", now, Picture(data=b"x"), Consent("door", now)))
    uploads = cluster["FACESTREAM_TOPIC_PREFIX"] + "uploads"
    raw.produce(uploads, b"rubbish", key=b"anna", headers=[("trace", b"\x01")])
    raw.produce(uploads, b"more rubbish", key=b"anna")
    raw.produce(uploads, strange, key=b"otto")
    assert raw.flush(20) == 0
    deadline = time.monotonic() + 30
    while (listed := facestream("dead-letters", "list", "--json")).json["total"] < 3:
        assert time.monotonic() < deadline, listed.err
    assert listed.code == 0
    groups = {group["reason"]: group for group in listed.json["groups"]}
    assert groups["not_an_event"]["count"] == 2
    assert groups["key_mismatch"]["count"] == 1
    only = facestream("dead-letters", "list", "--reason", "key_mismatch", "--json").json
    assert only["total"] == 1

    letter_id = groups["key_mismatch"]["last_id"]
    shown = facestream("dead-letters", "show", letter_id[:20], "--json")
    assert shown.code == 0, shown.err
    assert shown.json["letter_id"] == letter_id
    assert shown.json["key"] == "otto"
    assert shown.json["value_bytes"] == len(strange)
    assert facestream("dead-letters", "show", "nobody").code == 2

    file = tmp_path / "letters.jsonl"
    exported = facestream("dead-letters", "export", file, "--json")
    assert exported.json["written"] == 3
    letters = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    values = {base64.b64decode(letter["value"]) for letter in letters}
    assert values == {b"rubbish", b"more rubbish", strange}
    assert ["trace", "AQ=="] in [header for letter in letters for header in letter["headers"]]


def test_one_is_not_many_and_nothing_is_nothing(here: Run, pictures: Path) -> None:
    assert here("enrol", pictures / "anna/1.jpg", "-u", "single", "-s", "anna", "--training").code == 0
    assert "1 frame delivered in" in here("play", pictures / "anna/1.jpg", "-u", "single").out
    assert "anna enrolled, 1 template\n" in here("watch", "-u", "single", "--kept", "-n", "1").out
    assert "no faces of nobody are kept to learn from" in here("chips", "remove", "-u", "nobody").out
    assert "kafka: 1 broker answers at" in here("doctor", "--no-model").out
    assert "no such dead letter is open\n" in here("replay", "dead-letters", "--reason", "unknown_model").out
    assert here("bigquery", "query", "select 1 as one").out == "one\n1\n1 row\n"
    assert here("bigquery", "query", "select 1 as one limit 0").out == "0 rows\n"


def test_bigquery(here: Run, facestream: Run) -> None:
    planned = here("bigquery", "apply", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    applied = here("bigquery", "apply", "--json")
    assert applied.code == 0, applied.err
    assert len(applied.json["changes"]) >= len(planned.json["changes"]) > 0
    assert here("bigquery", "apply", "--json").json["changes"] == []
    asked = here("bigquery", "query", "select 1 as one, 'x' as letter, timestamp '2026-01-02' as day", "--json")
    assert asked.json["rows"] == [{"one": 1, "letter": "x", "day": "2026-01-02T00:00:00+00:00"}]
    assert here("bigquery", "query", "results", "--json").json["rows"] == []
    as_csv = here(
        "bigquery", "query", "select 1/3 as third, [1, 2] as list, timestamp '2026-01-02' as day", "--format", "csv"
    )
    assert as_csv.out == 'third,list,day\n0.3333333333333333,"[1, 2]",2026-01-02T00:00:00+00:00\n'
    assert as_csv.err == "1 row\n"
    nothing = here("bigquery", "query", "select 1 as one from results where false", "--format", "csv")
    assert (nothing.code, nothing.out) == (0, "one\n")
    both = here("bigquery", "query", "results", "--format", "csv", "--json")
    assert (both.code, both.out) == (2, "")
    missing = here("bigquery", "query", "nothing_of_that_name")
    assert (missing.code, missing.err.count("\n")) == (1, 1)
    assert missing.err.startswith("facestream: Not found: Table")
    assert "there are comparisons, " in missing.err
    assert "sightings_by_day" in missing.err
    wrong = here("bigquery", "query", "selec 1")
    assert (wrong.code, wrong.err) == (1, 'facestream: Syntax error: Unexpected identifier "selec" at [1:1]\n')
    elsewhere = facestream("bigquery", "query", "matches", FACESTREAM_BIGQUERY_DATASET="nowhere")
    assert "is empty: `facestream bigquery apply`" in elsewhere.err


@pytest.mark.parametrize(
    "exceptions", [{}, {"NO_PROXY": "example.org"}, {"no_proxy": "a.example.org, b.example.org", "NO_PROXY": "c"}]
)
def test_a_proxy_is_not_asked_for_this_machine(facestream: Run, exceptions: dict[str, str]) -> None:
    names = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")
    proxies = {spelt: "http://127.0.0.1:1" for name in names for spelt in (name, name.upper())}
    asked = facestream("bigquery", "query", "select 1 as one", "--json", **proxies, **exceptions)
    assert asked.code == 0, asked.err
    looked = facestream("doctor", "--no-model", "--json", **proxies, **exceptions)
    found = {one["name"]: one["status"] for one in looked.json["checks"]}
    assert (found["bigquery"], found["bigquery storage write"]) == ("ok", "ok")


def test_evaluate(here: Run, tmp_path: Path) -> None:
    photos = sample_photos()
    for name, copied in {"anna/1.jpg": "obama", "anna/2.jpg": "obama2", "otto/1.jpg": "biden"}.items():
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / f"{copied}.jpg", tmp_path / "people" / name)
    for number in range(6):
        (tmp_path / f"people/otto/bad{number}.jpg").write_text("no picture")
    ended = here("evaluate", "people", "--threshold", "0.6", "--json")
    assert ended.code == 0, ended.err
    result = ended.json
    assert (result["identities"], result["images"], result["faces_not_found"]) == (2, 9, 6)
    assert result["skipped_by_reason"] == {"undecodable": 6}
    assert set(result["tar_at_far"]) == {"1e-2", "1e-3", "1e-4"}
    assert (result["discard"]["fmr"], len(result["discard"]["fnmr"])) == (1e-3, 31)
    assert "FNMR at FMR 0.001" in ended.err
    assert (ended.err.count("bad"), "and 1 more: --verbose names them" in ended.err) == (5, True)
    assert here("evaluate", "people", "--verbose").err.count("bad") == 6
    shutil.copy(photos / "biden.jpg", tmp_path / "people")
    (tmp_path / "pairs.csv").write_text("anna/1.jpg,biden.jpg,no\n")
    listed = here("evaluate", "people", "--pairs", "pairs.csv", "--json")
    assert (listed.json["genuine_pairs"], listed.json["impostor_pairs"]) == (0, 1)
    (tmp_path / "groups.csv").write_text("subject_id,age\nanna,20\notto,20\n")
    grouped = here("evaluate", "people", "--threshold", "0.6", "--groups", "groups.csv", "--json")
    [group] = grouped.json["groups"]
    assert (group["by"], group["group"], group["people"]) == ("age", "20", 2)
    (tmp_path / "groups.csv").write_text("name,age\nanna,20\n")
    wrong = here("evaluate", "people", "--groups", "groups.csv")
    assert wrong.code == 1
    assert "needs a heading with" in wrong.err


def test_nothing_is_measured_on_pictures_without_a_face(here: Run, pictures: Path, tmp_path: Path) -> None:
    ended = here("evaluate", pictures, "--json")  # noise
    assert ended.code == 1
    last = ended.err.splitlines()[-1]
    assert last == "facestream: no face to compare in any of 3 pictures: 3 no_face"
    assert ended.json["skipped_by_reason"] == {"no_face": 3}
    assert ended.json["roc_auc"] is None
    assert "ROC" not in ended.err
    (tmp_path / "empty" / "anna").mkdir(parents=True)
    ended = here("evaluate", "empty")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "has no pictures in sub-folders" in ended.err


def test_frames_of_whoever_is_erased_are_not_replayed(here: Run, pictures: Path) -> None:
    assert here("enrol", pictures / "anna/1.jpg", "-u", "gone", "-s", "anna").code == 0
    assert here("play", pictures / "anna", "-u", "gone").code == 0
    assert here("erase", "-u", "gone").code == 2
    planned = here("erase", "-u", "gone", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert planned.json["would_remove"]["match"] == {"templates": 1}
    assert here("erase", "-u", "gone", "--yes", "--json").json["removed"]["match"] == {"templates": 1}
    assert "there is nothing of gone with all subjects to erase" in here("erase", "-u", "gone", "--dry-run").out
    refused = here("replay", "frames", "--from", "oldest", "-u", "gone")
    assert (refused.code, refused.out) == (1, "")
    assert "all 2 frames that are as asked for are of somebody who was erased" in refused.err
    assert here("play", pictures / "anna/1.jpg", "-u", "gone").code == 0
    again = here("replay", "frames", "--from", "oldest", "-u", "gone", "--json")
    assert again.code == 0, again.err
    assert [again.json[one] for one in ("events", "erased", "sent", "answered")] == [1, 2, 1, 1]
    assert "2 more are of people who were erased after them" in again.err
