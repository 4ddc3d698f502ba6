"""The distribution that applications install: what is in it, and that it is whole."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.client.environment import ROOT, run

MAX_BYTES = 300_000
IMPORT_ALL = """
import importlib, pkgutil, sys, facestream
for one in pkgutil.walk_packages(facestream.__path__, "facestream."):
    importlib.import_module(one.name)
for name in facestream.__all__:
    getattr(facestream, name)
assert not {"streams", "schemas", "models", "sinks", "infra", "numpy", "PIL", "cv2", "pydantic"} & set(sys.modules)
"""
CONSUMER = """
from typing import assert_type
from facestream import Client, Decision, Enrolment, Match, aio
from facestream.testing import FakeClient, recognised

def who(client: Client | FakeClient, jpeg: bytes) -> list[str | None]:
    assert_type(client.ask("anna", jpeg, consent="door"), Enrolment)
    match = client.ask("anna", jpeg, camera_id="door")
    assert_type(match, Match)
    return [face.subject_id for face in match.faces if face.decision is Decision.MATCH]

async def same(client: aio.Client, jpeg: bytes) -> Match:
    handle = await client.frame("anna", jpeg, camera_id="door")
    assert_type((await handle).offset, int)
    return await client.ask("anna", jpeg, camera_id="door")

who(FakeClient(lambda event: None), b"")
"""


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_it_is_small_and_holds_one_package(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_BYTES
    tops = {name.partition("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"facestream"}
    assert "facestream/py.typed" in names(wheel)


def test_it_has_every_schema_that_is_complete_in_itself(wheel: Path) -> None:
    folder = ROOT / "schemas"
    ours = {str(path.relative_to(ROOT)) for path in [*folder.glob("*.avsc"), *(folder / "history").glob("*.avsc")]}
    assert {name.removeprefix("facestream/") for name in names(wheel) if name.endswith(".avsc")} == ours


def test_its_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        told = Parser().parsestr(archive.read(metadata).decode())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (told["Name"], told["Version"]) == ("facestream-client", project["version"])
    needed = {line.split(">")[0] for line in told.get_all("Requires-Dist") or [] if "extra" not in line}
    assert needed == {"cattrs", "confluent-kafka", "fastavro", "redis"}
    # The ranges are those of the whole project.
    ours = {line for line in project["dependencies"] if line.split(">")[0] in needed}
    assert {line for line in told.get_all("Requires-Dist") or [] if "extra" not in line} <= ours | needed


def test_every_module_imports_where_nothing_else_is_installed(python: Path, tmp_path: Path) -> None:
    subprocess.run([python, "-c", IMPORT_ALL], cwd=tmp_path, check=True, timeout=60)


def test_every_public_name_is_in_it(python: Path, tmp_path: Path) -> None:
    script = "import facestream; [getattr(facestream, name) for name in facestream.__all__]"
    subprocess.run([python, "-c", script], cwd=tmp_path, check=True, timeout=60)


def test_a_source_distribution_builds_without_the_repository(tmp_path: Path) -> None:
    script = "import build_client, sys; print(build_client.build_sdist(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", script, tmp_path], cwd=ROOT / "client", capture_output=True, text=True, check=True
    )
    name = built.stdout.splitlines()[-1]
    run("tar", "-xf", tmp_path / name, "-C", tmp_path)
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    folder = tmp_path / name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", tmp_path, folder)
    (wheel,) = tmp_path.glob("*.whl")
    assert "facestream/client.py" in names(wheel)


def test_a_module_without_a_place_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "client"))
    import build_client

    with pytest.raises(build_client.LayoutError, match=r"streams\.kafka\.\w+"):
        build_client._place("streams.kafka.topics", {"streams.client": "facestream"})
    build_client.lay_out(tmp_path)
    assert (tmp_path / "facestream" / "client.py").is_file()


def test_an_application_sees_the_types(python: Path, tmp_path: Path) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    options = ["--strict", "--python-executable", python, "--cache-dir", tmp_path / "cache", "--config-file="]
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "consumer.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_an_import_from_a_package_gets_the_place_of_what_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "client"))
    import build_client

    names = {"streams.traces": "facestream.traces", "streams.client": "facestream", "schemas": "facestream.schemas"}
    lines = "from streams import traces\nfrom schemas import codec\nfrom json import dumps\n"
    new = "from facestream import traces\nfrom facestream.schemas import codec\nfrom json import dumps\n"
    assert build_client.renamed(lines, names) == new
    with pytest.raises(build_client.LayoutError, match=r"import each by itself: streams\.traces, streams\.kafka"):
        build_client.renamed("from streams import traces, kafka\n", names | {"streams.kafka": "facestream.far.kafka"})
