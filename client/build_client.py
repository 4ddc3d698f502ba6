"""The build backend of the client's distribution: renames modules of the repository to ``facestream``, then builds.

The project's packages have names such as ``schemas``, which an application may use for its own packages. So each module
that the client needs gets a name below ``facestream``, and every import and every mention of it in documentation is
changed. A needed module without a new name is an error. The build works in a temporary folder, so nothing is written to
the repository; the source distribution builds without the repository.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from setuptools import build_meta

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGE = "facestream"
SOURCE = "streams.client"
SCHEMAS = "schemas"
"""This package is always included, because its Avro files are needed."""
DATA = ("*.avsc", "py.typed")
Config = Mapping[str, Any] | None


class LayoutError(Exception):
    """The modules cannot be renamed; the message says why."""


def get_requires_for_build_wheel(config_settings: Config = None) -> list[str]:
    """Nothing but what pyproject.toml names."""
    return []


def get_requires_for_build_sdist(config_settings: Config = None) -> list[str]:
    """Nothing but what pyproject.toml names."""
    return []


def build_wheel(wheel_directory: str, config_settings: Config = None, metadata_directory: str | None = None) -> str:
    """Build the wheel."""
    with _laid_out():
        name: str = build_meta.build_wheel(str(Path(wheel_directory).absolute()))
        return name


def build_sdist(sdist_directory: str, config_settings: Config = None) -> str:
    """Build the source distribution: plain modules and setuptools' own backend."""
    with _laid_out():
        name: str = build_meta.build_sdist(str(Path(sdist_directory).absolute()))
        return name


@contextmanager
def _laid_out() -> Iterator[None]:
    """A context manager that changes to a temporary folder with the whole project while it is built."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="facestream-client-") as folder:
        lay_out(Path(folder))
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def lay_out(folder: Path) -> None:
    """Write the project to a folder: ``pyproject.toml``, README and the package.

    Raises:
        LayoutError: a needed module has no new name, or two have the same.
    """
    text = (HERE / "pyproject.toml").read_text("utf-8")
    places: Mapping[str, str] = tomllib.loads(text)["tool"][PACKAGE]["layout"]
    plain = text.replace(
        'build-backend = "build_client"\nbackend-path = ["."]', 'build-backend = "setuptools.build_meta"'
    )
    (folder / "pyproject.toml").write_text(plain[: plain.index("# What is laid out where")], "utf-8")
    shutil.copy(HERE / "README.md", folder)
    if (ROOT / "LICENSE").exists():
        shutil.copy(ROOT / "LICENSE", folder)
    names = {module: _place(module, places) for module in _needed(places)}
    if len(set(names.values())) < len(names):
        raise LayoutError(f"two modules have the same place: {sorted(names.values())}")
    for module, name in names.items():
        source = _file(module)
        assert source is not None
        to = folder / Path(*name.split("."))
        if source.name == "__init__.py":
            to.mkdir(parents=True, exist_ok=True)
            target = to / "__init__.py"
            for pattern in DATA:
                _copy_data(source.parent, to, pattern)
        else:
            to.parent.mkdir(parents=True, exist_ok=True)
            target = to.with_suffix(".py")
        target.write_text(renamed(source.read_text("utf-8"), names), "utf-8")
    for package in (folder / PACKAGE).rglob("*"):
        if package.is_dir() and any(package.glob("*.py")) and not (package / "__init__.py").exists():
            (package / "__init__.py").touch()
    (folder / PACKAGE / "py.typed").touch()


def _copy_data(source: Path, to: Path, pattern: str) -> None:
    for path in source.rglob(pattern):
        if not any((folder / "__init__.py").exists() for folder in _between(path.parent, source)):
            target = to / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def _between(folder: Path, top: Path) -> Iterator[Path]:
    while folder != top:
        yield folder
        folder = folder.parent


def _place(module: str, places: Mapping[str, str]) -> str:
    for prefix in sorted(places, key=len, reverse=True):
        if module == prefix or module.startswith(f"{prefix}."):
            return places[prefix] + module.removeprefix(prefix)
    raise LayoutError(f"the client needs {module}, which has no place in [tool.facestream.layout]")


def _needed(places: Mapping[str, str]) -> set[str]:
    """The client's own modules, and all modules that they import."""
    rooms = {name.split(".")[0] for name in places}
    package = _file(SOURCE)
    assert package is not None
    own = (path.stem for path in package.parent.glob("*.py") if path.stem != "__init__")
    waiting = [SOURCE, SCHEMAS, *(f"{SOURCE}.{name}" for name in own)]
    found: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [name for name in _imports(module) if name.split(".")[0] in rooms]
    return found


def _imports(module: str) -> Iterator[str]:
    source = _file(module)
    assert source is not None
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in members if _file(name) is not None]
            yield from modules
            if len(modules) < len(members):
                yield node.module


def _file(module: str) -> Path | None:
    """The file of a module of the repository; None if it has no file."""
    path = ROOT / Path(*module.split("."))
    return next((one for one in (path / "__init__.py", path.with_suffix(".py")) if one.is_file()), None)


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The text of a module with the new names of modules: in imports, and wherever else a dotted name occurs."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        # `from schemas import codec` has no dot that would distinguish it from other text.
        if isinstance(node, ast.ImportFrom) and node.module and (new := _new_package(node, names)):
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = line.replace(f"from {node.module} import", f"from {new} import", 1)
    dotted = [name for name in names if "." in name]
    pattern = "|".join(re.escape(name) for name in sorted(dotted, key=len, reverse=True))
    return re.sub(rf"(?<![\w.])(?:{pattern})\b", lambda found: names[found[0]], "".join(lines))


def _new_package(node: ast.ImportFrom, names: Mapping[str, str]) -> str | None:
    """From where the same is imported under the new names; None if it is no module of the repository."""
    if node.module in names:
        return names[node.module]
    members = [f"{node.module}.{alias.name}" for alias in node.names]
    if not any(member in names for member in members):
        return None
    packages = {names.get(member, member).rpartition(".")[0] for member in members}
    if len(packages) > 1:
        raise LayoutError(f"these modules get different packages, so import each by itself: {', '.join(members)}")
    return packages.pop()
