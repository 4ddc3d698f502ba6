"""The page about the HTTP API is true: its table is what the code says, and its commands run.

``python -m tests.streams.gateway.test_docs`` writes the table anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.photos import sample_photos
from models.embedder.card import Card
from models.embedder.references import Reference
from schemas.hooks import HookKind
from schemas.reasons import Reason
from streams.gateway.app import ROUTERS
from streams.gateway.problems import MEANINGS, GatewayReason
from streams.hooks.store import add_hook
from streams.settings import Settings
from tests.command_lines import parse
from tests.streams.hooks.conftest import Receiver, receiver

__all__ = ["receiver"]

PAGE = Path(__file__).parents[3] / "docs" / "http.md"
TEXT = PAGE.read_text("utf-8")
TABLE = re.compile(r"(?<=<!-- reasons -->\n).*?(?=<!-- /reasons -->)", re.DOTALL)
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def table() -> str:
    rows = ["| reason | meaning |", "|---|---|", *(f"| `{one}` | {MEANINGS[one]} |" for one in GatewayReason)]
    return "\n".join(rows) + "\n"


def test_every_reason_is_told_and_is_no_other_word() -> None:
    found = TABLE.search(TEXT)
    assert found and found[0] == table(), "write it anew: python -m tests.streams.gateway.test_docs"
    assert not set(GatewayReason) & set(Reason)


def test_every_route_is_told() -> None:
    paths = {route.path for router in ROUTERS for route in router.routes}  # type: ignore[attr-defined]
    assert not {path for path in paths if f"{path}`" not in TEXT}


@pytest.mark.usefixtures("workers")
def test_the_commands_of_curl_answer_what_they_should(
    http: httpx.Client, everything: dict[str, str], settings: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    assert shutil.which("curl")
    small = tmp_path / "photos"
    small.mkdir()
    for name in ("obama.jpg", "biden.jpg"):
        # The workers of these tests know a picture by its digest, and the gateway's limit is low.
        (small / name).write_bytes((sample_photos() / name).read_bytes()[:90_000])
    env = os.environ | {
        "FACESTREAM": str(http.base_url),
        "KEY": everything["Authorization"].removeprefix("Bearer "),
        "HOOK": add_hook(settings, receiver.address, {HookKind.SIGHTING_END}, user="anna")[1].hook_id,
        "VERSION": Card.read(Reference.ACCURATE.folder).version,
    }
    answers: list[Any] = []
    for block in (one for one in BLOCKS if one.startswith("curl")):
        for command in block.replace("\\\n", " ").splitlines():
            ended = subprocess.run(
                ["sh", "-ec", command], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
            )
            answers.append(json.loads(ended.stdout))
    enrolled, identified, verified, accepted, read, subjects, said, subject, seen, past, cameras, *operations = answers
    assert enrolled["outcome"] == "enrolled"
    assert identified["faces"][0]["subject_id"] == "obama"
    assert verified["faces"][0]["decision"] == "no_match"
    assert accepted["status"] == "accepted" and read["event_id"] == accepted["event_id"]
    assert subjects["subjects"] == [{"subject_id": "obama", "templates": 1}]
    assert (said["event_id"], said["is_new"]) == (accepted["event_id"], True)
    *operations, hook, hooks, tried, removed = operations
    assert hook["secret"] and {hook["hook_id"], tried["hook_id"]} <= {one["hook_id"] for one in hooks["hooks"]}
    assert tried["accepted"] and removed == {"hook_id": tried["hook_id"]}
    shards, models, *lists, shadow, back, counted = operations
    assert (shadow["state"], back["state"], counted["sent"]) == ("shadow", "candidate", 0)
    assert shards["partitions"] == 2 and models["production"] in {one["version"] for one in models["versions"]}
    assert [next(iter(one)) for one in lists] == ["replays", "total", "runs"]
    assert enrolled in subject["photos"]
    assert accepted["event_id"] in {one["event_id"] for one in seen["matches"]}
    assert (past["sightings"], past["next"]) == ([], None)
    assert "front-door" in {one["camera_id"] for one in cameras["cameras"]}


def test_its_commands_are_there() -> None:
    lines = [line.split() for block in BLOCKS for line in block.splitlines() if line.startswith("facestream ")]
    assert [parse(line[1:]) for line in lines] == ["facestream keys create", "facestream keys list"]


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), TEXT), "utf-8")
