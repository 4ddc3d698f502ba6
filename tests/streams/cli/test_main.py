"""What every command has: help, one line for an error, exit codes. No service is needed."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from models.embedder.references import FAST, Reference
from streams.cli import first_word
from streams.cli.main import COMMANDS, make_app, modules_for, pass_by_proxies
from streams.cli.unused_packages import UNUSED
from tests.streams.cli.conftest import TIMEOUT_S, Run, command, environment, run, run_here

HEAVY = {"tensorflow", "faust", "cv2", "numpy", "confluent_kafka", "google", "redis", "pydantic_settings", "fastavro"}


def names() -> Iterator[tuple[str, ...]]:
    def walk(command: object, name: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield name
        if isinstance(command, TyperGroup):
            for inner, sub in command.commands.items():
                yield from walk(sub, (*name, inner))

    yield from walk(typer.main.get_command(make_app()), ())


def told(terminal: int) -> str:
    """All that was written to a terminal that nobody has open any more; one read may give a part."""
    shown = b""
    with suppress(OSError):  # which Linux gives at its end
        while got := os.read(terminal, 10_000):
            shown += got
    return shown.decode()


def test_the_contract_is_there() -> None:
    there = set(names())
    for name in (
        ("topics", "create"),
        ("topics", "list"),
        ("enrol",),
        ("play",),
        ("watch",),
        ("evaluate",),
        ("bigquery", "apply"),
        ("bigquery", "query"),
        ("settings",),
        ("dead-letters", "list"),
        ("dead-letters", "show"),
        ("dead-letters", "export"),
    ):
        assert name in there


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    yield from run_here({}, monkeypatch, capsys)


@pytest.mark.parametrize("name", list(names()), ids=lambda name: " ".join(name) or "facestream")
def test_every_command_has_help(name: tuple[str, ...], in_this_process: Run) -> None:
    ended = in_this_process(*name, "--help")
    assert ended.code == 0
    assert "Usage: facestream" in ended.out
    assert not ended.err


def test_help_needs_nothing_heavy() -> None:
    script = "import sys; from streams.cli.main import make_app, pass_by_proxies; make_app(); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not HEAVY & {name.split(".")[0] for name in ended.stdout.split()}


def test_a_command_leaves_out_what_google_would_import_for_analysts() -> None:
    script = """
import atexit, sys
sys.argv[1:] = ["bigquery", "apply", "--help"]
atexit.register(lambda: print(*sys.modules))
import streams.cli
try:
    streams.cli.main()
finally:
    import google.cloud.bigquery, sklearn.metrics
    print()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in ended.stdout.splitlines()[-1].split()}
    assert {"google", "sklearn", "numpy"} <= loaded, ended.stdout
    assert not UNUSED & loaded
    for name in UNUSED:
        assert find_spec(name), "nothing is left out where it is not installed"


def test_a_training_that_cannot_be_is_refused_without_tensorflow(tmp_path: Path) -> None:
    script = """
import atexit, sys
sys.argv[1:] = ["retrain"]
atexit.register(lambda: print(*sys.modules))
import streams.cli
streams.cli.main()
"""
    env = environment(FACESTREAM_KAFKA="127.0.0.1:1")
    ended = subprocess.run([sys.executable, "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, "no Kafka answers" in ended.stderr) == (1, True)
    loaded = ended.stdout.split()
    assert "streams.retraining.train" in loaded
    assert "tensorflow" not in loaded


def test_a_call_imports_the_module_that_it_needs() -> None:
    app = typer.main.get_command(make_app())
    assert isinstance(app, TyperGroup)
    for name in app.commands:
        [module] = modules_for([name, "--help"])
        assert name in typer.main.get_command(make_app([module, "doctor"])).commands  # type: ignore[attr-defined]
    for arguments in ([], ["--help"], ["nonsense"], ["dead_letters"]):
        assert modules_for(arguments) == COMMANDS
    assert modules_for(["--version"]) == ()


def test_the_first_word_needs_nothing_that_takes_time() -> None:
    script = "import sys; before = set(sys.modules); import streams.cli; print(*set(sys.modules) - before)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name for name in ended.stdout.split() if name.split(".")[0] not in sys.stdlib_module_names}
    assert loaded <= {"streams", "streams.cli", "streams.cli.first_word"}


@pytest.mark.parametrize("arguments", [("--version",), ("settings", "--json"), ("play", "/nowhere")], ids=" ".join)
def test_the_first_word_on_a_terminal_goes_when_there_is_another(arguments: tuple[str, ...], tmp_path: Path) -> None:
    terminal, inside = os.openpty()
    process = subprocess.Popen(
        command(*arguments),
        env=environment(TERM="xterm"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=inside,
        text=True,
    )
    out, _ = process.communicate(timeout=TIMEOUT_S)
    os.close(inside)
    shown = told(terminal)
    name = "" if arguments[0].startswith("-") else f" {arguments[0]}"
    start = f"facestream{name}: starting …\r\x1b[K"
    assert shown.startswith(start)
    assert shown.removeprefix(start).startswith("facestream: there is no" if process.returncode else "")
    assert "starting" not in out


def test_a_stream_that_somebody_else_put_in_front_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, inside = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(inside, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        first_word.show(["play"])
        somebody = io.StringIO()
        sys.stderr = somebody
        first_word.clear()
        assert sys.stderr is somebody
        first_word.clear()
    assert told(terminal) == "facestream play: starting …\r\x1b[K"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("topics", "list"), "no Kafka answers at 127.0.0.1:1"),
        (("topics", "create", "--json"), "facestream up"),
        (("dead-letters", "list"), "no Kafka answers"),
        (("watch", "--timeout", "20"), "or set FACESTREAM_REDIS_URL"),
        (("watch", "--user", "anna", "--kept", "--timeout", "20"), "no Redis answers at 127.0.0.1:1 ("),
        (("dead-letters", "list", "--reason", "bad_luck"), "there is no reason bad_luck"),
        (("replay", "dead-letters", "--reason", "bad_luck"), "there is no reason bad_luck"),
        (("bigquery", "query", "select 1"), "BigQuery"),
        (("play", "/nowhere"), "there is no '/nowhere'"),
        (("play", "63"), "camera 63"),
    ],
)
def test_a_failure_is_one_line(arguments: tuple[str, ...], said: str, offline: Run) -> None:
    ended = offline(*arguments)
    assert ended.code == 1
    assert ended.err.startswith("facestream: ")
    assert ended.err.count("\n") == 1, ended.err
    assert said in ended.err
    assert "secret" not in ended.err
    assert not ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "nonsense"),
        (("topics", "delete"), "delete"),
        (("enrol",), "either photos or --dir"),
        (("enrol", "nobody.jpg"), "no photo 'nobody.jpg'"),
        (("enrol", "."), "'.' is a folder: use --dir"),
        (("enrol", "--dir", "nowhere"), "no folder 'nowhere'"),
        (("enrol", "--dir", "."), "has no folders"),
        (("enrol", "a.jpg", "--user", ""), "'--user' / '-u': it must not be empty"),
        (("enrol", "a.jpg", "--subject", " "), "'--subject' / '-s': it must not be empty"),
        (("enrol", "a.jpg", "--purpose", ""), "'--purpose': it must not be empty"),
        (("play",), "SOURCE"),
        (("play", ".", "--fps", "-1"), "--fps"),
        (("play", ".", "--subject", "anna"), "--mode verify"),
        (("play", ".", "--camera", ""), "'--camera' / '-c': it must not be empty"),
        (("play", ".", "--mode", "verfy"), "'--mode': 'verfy' is not one of"),
        (("watch", "--kept"), "--kept needs --user"),
        (("bigquery", "query", " "), "the query is empty"),
        (("demo", "--video", "nowhere"), "no video 'nowhere'"),
        (("demo", "--video", sys.executable), "is no video that can be read"),
    ],
)
def test_a_wrong_call_is_one_line(arguments: tuple[str, ...], said: str, offline: Run) -> None:
    ended = offline(*arguments)
    assert ended.code == 2
    assert re.fullmatch(r"facestream: .+\n", ended.err)
    assert said in ended.err
    assert not ended.out


def test_folders_without_a_picture_are_told(offline: Run, tmp_path: Path) -> None:
    for name in ("anna", "otto"):
        (tmp_path / "people" / name).mkdir(parents=True)
    ended = offline("enrol", "--dir", "people")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "no picture in any folder of 'people'" in ended.err


def test_the_reference_is_not_imported_beside_itself(offline: Run, tmp_path: Path) -> None:
    ended = offline("models", "import", FAST)
    assert ended.code == 0, ended.err
    assert "is a reference model already" in ended.out
    assert not (tmp_path / ".facestream").exists()
    # As an earlier release left it.
    shutil.copytree(FAST, tmp_path / ".facestream/models" / FAST.name)
    listed = offline("models", "list", "--json").json["versions"]
    assert [one["folder"] for one in listed] == [str(one.folder) for one in Reference]


@pytest.mark.parametrize("name", [(), ("topics",), ("dead-letters",)], ids=" ".join)
def test_a_group_alone_shows_its_help_and_nothing_else(name: tuple[str, ...], offline: Run) -> None:
    ended = offline(*name)
    assert ended.code == 2
    assert "Usage: facestream" in ended.out
    assert not ended.err


def test_the_version(offline: Run) -> None:
    ended = offline("--version")
    assert (ended.code, ended.err) == (0, "")
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    assert ended.out == f"facestream {project['version']}\n"


@pytest.mark.parametrize("arguments", [("query", "matches"), ("apply",)], ids=" ".join)
def test_without_a_project_nobody_asks_google(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ended = run(("bigquery", *arguments), environment(), tmp_path)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "no BigQuery is configured: start one with `facestream up`" in ended.err


def test_a_wrong_setting_is_named(offline: Run) -> None:
    ended = offline("topics", "list", FACESTREAM_PARTITIONS="many")
    assert ended.code == 1
    assert ended.err.startswith("facestream: FACESTREAM_PARTITIONS='many' cannot be used")
    assert ended.err.count("\n") == 1


def test_the_trace_is_there_for_who_asks(offline: Run) -> None:
    ended = offline("topics", "list", FACESTREAM_DEBUG="1")
    assert ended.code == 1
    assert "Traceback" in ended.err


def test_a_reader_that_goes_away_is_no_error() -> None:
    ended = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m streams.cli settings | head -1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not ended.stderr


@pytest.mark.parametrize(
    ("lower", "upper", "then"),
    [
        (None, None, ("127.0.0.1,localhost",) * 2),
        (None, "example.org", ("example.org,127.0.0.1,localhost",) * 2),
        ("a, localhost", "b", ("a,localhost,127.0.0.1", "b,127.0.0.1,localhost")),
        ("*", None, ("*", None)),
    ],
)
def test_what_is_reached_without_a_proxy_still_is(
    lower: str | None, upper: str | None, then: tuple[str | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"no_proxy": lower, "NO_PROXY": upper}
    monkeypatch.setattr(os, "environ", {name: value for name, value in before.items() if value is not None})
    pass_by_proxies()
    assert (os.environ.get("no_proxy"), os.environ.get("NO_PROXY")) == then


def test_nobody_is_erased_unasked(offline: Run) -> None:
    """Standard input is no terminal here; with --json it goes ahead for one more version, and fails of Kafka."""
    ended = offline("erase", "--user", "anna")
    assert ended.code == 2
    assert "nothing was erased" in ended.err
    assert all(option in ended.err for option in ("--yes", "--dry-run"))
    for asked, warned in ((("--json",), True), (("--json", "--yes"), False), (("--yes",), False)):
        ended = offline("erase", "--user", "anna", *asked)
        assert ended.code == 1
        assert "no Kafka answers" in ended.err
        assert ("will demand --yes" in ended.err) is warned
