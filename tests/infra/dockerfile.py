"""Reads as much of a Dockerfile as the tests ask about."""

from __future__ import annotations

import copy
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """One build stage: what it copies from the clone and from other stages, runs, and sets, with what its base has."""

    base: str
    copied: list[str] = field(default_factory=list)
    copied_from: list[tuple[str, str]] = field(default_factory=list)
    destinations: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    healthcheck: list[str] = field(default_factory=list)


def stages(path: Path) -> dict[str, Stage]:
    """The stages by name, in their order.

    Raises:
        ValueError: an instruction that this reader does not know.
    """
    found: dict[str, Stage] = {}
    # Arguments before the first stage are those of FROM.
    stage = before = Stage("")
    text = re.sub(r"^#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        instruction, _, rest = line.partition(" ")
        rest = " ".join(rest.split())
        match instruction:
            case "FROM":
                base, _, name = rest.partition(" AS ")
                base = re.sub(r"\$\{(\w+)\}", lambda named: before.arguments[named[1]], base)
                found[name] = stage = copy.deepcopy(found.get(base, Stage(base)))
            case "COPY":
                flags = [word for word in rest.split() if word.startswith("--")]
                *sources, to = (word for word in rest.split() if not word.startswith("--"))
                stage.destinations.append(to)
                if origin := [flag.removeprefix("--from=") for flag in flags if flag.startswith("--from=")]:
                    stage.copied_from += [(origin[0], source) for source in sources]
                else:
                    stage.copied += sources
            case "RUN":
                stage.runs.append(rest)
            case "ENV":
                stage.env |= dict(word.split("=", 1) for word in rest.split())
            case "USER":
                stage.user = rest
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "CMD":
                stage.command = json.loads(rest)
            case "ARG":
                stage.arguments |= dict([rest.split("=", 1)])
            case "LABEL":
                stage.labels |= dict(word.split("=", 1) for word in shlex.split(rest))
            case "HEALTHCHECK":
                stage.healthcheck = json.loads(rest.partition("CMD ")[2])
            case "WORKDIR":
                pass
            case _:
                raise ValueError(f"{instruction} in {path.name}")
    return found
