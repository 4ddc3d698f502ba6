"""The pages of docs/reference say what the code says."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from schemas.as_json import to_json
from sinks.redis.keys import Keys
from streams.settings import Settings
from tests.sinks.examples import match
from tests.test_readme import fields

DOCS = Path(__file__).parents[2] / "docs"
REDIS = (DOCS / "reference" / "redis.md").read_text("utf-8")


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_reference", DOCS / "generate_reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


@pytest.mark.parametrize("name", GENERATOR.PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    page = (DOCS / "reference" / name).read_text("utf-8")
    assert page == GENERATOR.PAGES[name]().rstrip() + "\n", "write it anew: make docs"


def test_every_page_is_listed() -> None:
    folder = DOCS / "reference"
    listed = set(re.findall(r"^\| \[([a-z]+\.md)\]", (folder / "README.md").read_text("utf-8"), re.MULTILINE))
    assert listed == {path.name for path in folder.glob("*.md")} - {"README.md"}


def test_keys_of_redis() -> None:
    keys = Keys()
    user, camera, event = "<user_id>", "<camera_id>", "<event_id>"
    shown = set(re.findall(r"^\| `(facestream:[^`]+)`", REDIS, re.MULTILINE))
    made = {keys.result(event), keys.enrolment(event), keys.latest(user, camera), keys.live(user), keys.subjects(user)}
    made.add(keys.sightings(user))
    assert shown == made
    assert Settings.model_fields["result_ttl_s"].default == 86_400, "kept for a day"
    assert Settings.model_fields["live_stream_length"].default == 1_000


def test_the_match_in_redis_has_every_field() -> None:
    shown: dict[str, Any] = json.loads(re.findall(r"^```json\n(.*?)^```$", REDIS, re.MULTILINE | re.DOTALL)[0])
    assert fields(shown) == fields(to_json(match()))
