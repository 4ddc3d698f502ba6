"""``facestream export`` and ``facestream import``, between two installations with real workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from models.testing.digest import CARD
from schemas import gallery_file
from schemas.clock import utc_now
from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.results import Match
from streams.client.producer import Producer
from streams.kafka.log_reader import read_events
from streams.kafka.topics import Topic
from streams.settings import Settings, settings
from tests.streams.cli.conftest import Ended, Run, run, worker
from tests.streams.retraining.conftest import until

pytestmark = pytest.mark.usefixtures("workers")

At = Callable[..., Ended]
"""Runs a command on the second installation, or another one."""


@pytest.fixture(scope="module")
def second(cluster: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An empty installation: topics of its own, and workers; its command line does not know the workers' model."""
    prefix, home = f"second-{new_event_id()[:8]}.", tmp_path_factory.mktemp("second")
    environment = cluster | {"FACESTREAM_TOPIC_PREFIX": prefix, "FACESTREAM_HOME": str(home)}
    assert run(("topics", "create"), environment, home).code == 0
    with ExitStack() as running:
        for role in ("embed", "match"):
            running.enter_context(worker((role, "--embedder", "digest"), environment, home))
        yield environment


@pytest.fixture
def model(tmp_path: Path) -> dict[str, str]:
    """Lets the command line know the model of the workers."""
    folder = tmp_path / "digest"
    folder.mkdir()
    (folder / "card.json").write_text(CARD.model_dump_json(), "utf-8")
    return {"FACESTREAM_MODEL_DIR": str(folder)}


@pytest.fixture
def at(here: Run, monkeypatch: pytest.MonkeyPatch) -> At:
    """Run a command in this process, in an environment."""

    def run_there(environment: dict[str, str], *arguments: object) -> Ended:
        with monkeypatch.context() as changed:
            for name, value in environment.items():
                changed.setenv(name, value)
            settings.cache_clear()
            ended = here(*arguments)
        settings.cache_clear()
        return ended

    return run_there


def settings_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    with monkeypatch.context() as changed:
        for name, value in environment.items():
            changed.setenv(name, value)
        return Settings()


def templates(path: Path) -> list[Template]:
    gallery_file.check(path)
    return sorted(gallery_file.templates(path), key=lambda one: one.template_id)


def seen(installation: Settings, user: str, picture: Path) -> object:
    """What an installation answers to a picture."""
    with Producer(installation) as producer:
        sent = producer.frame(user, picture, camera_id="door")

    def answers() -> list[Match]:
        found = read_events(installation, Topic.MATCHES, Match)
        return [match for _, match in found if match.event_id == sent.event_id]

    until(answers, "an answer")
    (face,) = answers()[0].faces
    return face.decision, face.subject_id, face.candidates


def test_a_second_installation_gets_every_template(
    here: Run,
    at: At,
    cluster: dict[str, str],
    second: dict[str, str],
    model: dict[str, str],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert here("enrol", "--dir", pictures, "-u", "moved", "--training").code == 0
    assert here("enrol", pictures / "otto/1.png", "-u", "other").code == 0
    made = here("export", "all.avro", "--json")
    assert made.code == 0, made.err
    counted = [made.json[one] for one in ("templates", "vectors", "users", "subjects", "model_versions")]
    assert counted == [4, 4, 2, 3, {"digest": 4}]
    exported = templates(tmp_path / "all.avro")
    assert here("export", "one.avro", "--user", "moved", "--json").json["templates"] == 3
    assert templates(tmp_path / "one.avro") == [one for one in exported if one.user_id == "moved"]

    refused = at(second, "import", "all.avro")
    assert (refused.code, "unknown here (4 by digest)" in refused.err) == (1, True)
    assert "nobody is enrolled" in at(second, "export", "second.avro").err
    planned = at(second | model, "import", "all.avro", "--dry-run", "--json")
    assert (planned.json["to_send"], planned.json["sent"], planned.json["templates"]) == (4, 0, 4)
    assert "nobody is enrolled" in at(second, "export", "second.avro").err

    imported = at(second | model, "import", "all.avro", "--json")
    assert imported.code == 0, imported.err
    assert "comes from another installation" in imported.err
    assert [imported.json[one] for one in ("sent", "enrolled", "there", "no_outcome")] == [4, 4, 0, 0]
    assert at(second, "export", "second.avro", "--json").code == 0
    assert templates(tmp_path / "second.avro") == exported

    both = [settings_of(one, monkeypatch) for one in (cluster, second)]
    first, again = (seen(one, "moved", pictures / "anna/2.jpg") for one in both)
    assert first == again
    assert str(first).startswith("(<Decision.MATCH: 'match'>, 'anna'")

    twice = at(second | model, "import", "all.avro", "--json")
    assert [twice.json[one] for one in ("sent", "enrolled", "there")] == [0, 0, 4]
    assert at(second, "export", "third.avro", "--json").code == 0
    assert templates(tmp_path / "third.avro") == exported


def test_an_import_brings_back_nobody_who_was_erased(
    here: Run, at: At, second: dict[str, str], model: dict[str, str], pictures: Path, tmp_path: Path
) -> None:
    assert here("enrol", "--dir", pictures, "-u", "erased").code == 0
    assert here("export", "before.avro", "-u", "erased").code == 0
    assert here("erase", "-u", "erased", "-s", "otto", "--yes").code == 0
    imported = here("import", "before.avro", "--json")
    assert imported.code == 0, imported.err
    assert [imported.json[one] for one in ("templates", "there", "erased", "sent")] == [3, 2, 1, 0]
    # Not even if the person is erased after the import has looked: match has the last word.
    assert at(second | model, "import", "before.avro", "--json").json["enrolled"] == 3
    assert at(second | {"FACESTREAM_PARTITIONS": "2"}, "erase", "-u", "erased", "--yes").code in (0, 1)
    gone = at(second | model, "import", "before.avro", "--json")
    assert [gone.json[one] for one in ("templates", "there", "erased", "sent")] == [3, 0, 3, 0]
    assert "user erased has nobody enrolled" in at(second, "export", "after.avro", "-u", "erased").err
    assert not (tmp_path / "after.avro").exists()
    # Who is enrolled again after the erasure is in the next export.
    assert here("enrol", pictures / "otto/1.png", "-u", "erased", "-s", "otto").code == 0
    assert here("export", "again.avro", "-u", "erased", "--json").json["templates"] == 3


def test_a_broken_file_and_an_old_one_are_refused_before_anything_is_imported(
    here: Run, at: At, second: dict[str, str], model: dict[str, str], pictures: Path, tmp_path: Path
) -> None:
    assert here("enrol", "--dir", pictures, "-u", "whole").code == 0
    assert here("export", "whole.avro", "-u", "whole").code == 0
    (tmp_path / "cut.avro").write_bytes((tmp_path / "whole.avro").read_bytes()[:-20])
    cut = at(second | model, "import", "cut.avro")
    assert (cut.code, cut.err.count("\n")) == (1, 1)
    assert "cut.avro is not whole" in cut.err

    now, known = utc_now(), templates(tmp_path / "whole.avro")
    ended = replace(known[0], consent=replace(known[0].consent, expires_at=now - timedelta(seconds=1)))
    old = {"created_at": now - timedelta(days=400), "installation": "elsewhere/", "user_id": "whole"}
    gallery_file.write(tmp_path / "old.avro", [ended, *known[1:]], **old)
    refused = at(second | model, "import", "old.avro")
    assert (refused.code, "erasures are remembered for 92 days" in refused.err) == (1, True)
    assert "user whole has nobody enrolled" in at(second, "export", "none.avro", "-u", "whole").err
    accepted = at(second | model, "import", "old.avro", "--accept-old", "--json")
    assert [accepted.json[one] for one in ("enrolled", "consent_ended")] == [2, 1]
    nobody = at(second | model, "import", "old.avro", "-u", "nobody")
    assert (nobody.code, "has no template of user nobody" in nobody.err) == (2, True)


def test_without_a_match_worker_an_import_says_so_and_can_be_repeated(
    here: Run, at: At, cluster: dict[str, str], model: dict[str, str], pictures: Path, tmp_path: Path
) -> None:
    third = cluster | model | {"FACESTREAM_TOPIC_PREFIX": "third.", "FACESTREAM_HOME": str(tmp_path / "third")}
    assert at(third, "topics", "create").code == 0
    assert here("enrol", "--dir", pictures, "-u", "patient").code == 0
    assert here("export", "patient.avro", "-u", "patient").code == 0
    alone = at(third, "import", "patient.avro", "--timeout", "0", "--json")
    assert (alone.code, alone.json["sent"], alone.json["no_outcome"]) == (1, 3, 3)
    assert "run the same command again" in alone.err
    with worker(("match", "--embedder", "digest"), third, tmp_path):
        again = at(third, "import", "patient.avro", "--json")
    assert (again.code, again.json["no_outcome"]) == (0, 0), again.err
    assert again.json["enrolled"] + again.json["there"] == 3
    assert at(third, "export", "third.avro").code == 0
    assert templates(tmp_path / "third.avro") == templates(tmp_path / "patient.avro")
