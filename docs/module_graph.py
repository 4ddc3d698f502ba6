"""Shows which folder of the code imports which, by layers; exits with 1 if there are cycles between folders.

    python docs/module_graph.py            # text: the layers, from the lowest
    python docs/module_graph.py --imports  # and what each folder imports
    python docs/module_graph.py --dot      # for Graphviz: … --dot | dot -Tsvg > graph.svg

Needs only Python. Every import counts, including those within functions and those only for type checkers.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("schemas", "models", "sinks", "infra", "streams")


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement from one folder to another."""

    importer: str
    imported: str
    file: Path
    line: int
    statement: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.statement}"


Graph = Mapping[str, Mapping[str, list[Import]]]
"""The imports by the folder that imports and the folder that is imported."""


def read_graph(root: Path) -> Graph:
    """Read the imports between the folders of the rooms in ``root``."""
    modules = {name: path for room in ROOMS for name, path in _modules(root, root / room)}
    folders = {_folder(name, path) for name, path in modules.items()}
    graph: dict[str, dict[str, list[Import]]] = {folder: {} for folder in sorted(folders)}
    for name, path in modules.items():
        folder = _folder(name, path)
        for one in _imports(root, path, folder, modules):
            graph[folder].setdefault(one.imported, []).append(one)
    # Leave out a room itself if its __init__ imports nothing and nobody imports it.
    used = {other for others in graph.values() for other in others}
    return {one: dict(sorted(graph[one].items())) for one in graph if "/" in one or graph[one] or one in used}


def _modules(root: Path, room: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(room.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _folder(name: str, path: Path) -> str:
    """The folder of a module: the first folder below its room, or the module itself if it is in none.

    A room without folders counts as one folder.
    """
    room = next(parent for parent in path.parents if parent.name == name.partition(".")[0])
    has_folders = any((inner / "__init__.py").exists() for inner in room.iterdir() if inner.is_dir())
    return "/".join(name.split(".")[:2]) if has_folders else room.name


def _imports(root: Path, path: Path, folder: str, modules: Mapping[str, Path]) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{one.name}" for one in node.names]
        else:
            continue
        imported = {_folder(name, modules[name]) for name in (_module_of(one, modules) for one in names) if name}
        for other in sorted(imported - {folder}):
            yield Import(folder, other, path.relative_to(root), node.lineno, ast.unparse(node))


def _module_of(name: str, modules: Mapping[str, Path]) -> str | None:
    """The module that an imported name is or belongs to; None if it is not one of ours."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def components(graph: Graph) -> list[list[str]]:
    """The strongly connected groups of folders; every group comes after those that it imports.

    Source: Tarjan, "Depth-first search and linear graph algorithms", 1972.
    """
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(folder: str) -> None:
        numbers[folder] = lowest[folder] = len(numbers)
        stack.append(folder)
        for other in graph[folder]:
            if other not in numbers:
                visit(other)
                lowest[folder] = min(lowest[folder], lowest[other])
            elif other in stack:
                lowest[folder] = min(lowest[folder], numbers[other])
        if lowest[folder] == numbers[folder]:
            at = stack.index(folder)
            found.append(sorted(stack[at:]))
            del stack[at:]

    for folder in graph:
        if folder not in numbers:
            visit(folder)
    return found


def layers(graph: Graph) -> list[list[str]]:
    """The layers of folders, from the lowest: each folder imports only from lower layers.

    The folders of a cycle share a layer.
    """
    level: dict[str, int] = {}
    for group in components(graph):
        below = [level[other] for one in group for other in graph[one] if other not in group]
        level |= dict.fromkeys(group, 1 + max(below, default=-1))
    return [sorted(one for one in graph if level[one] == n) for n in range(1 + max(level.values(), default=-1))]


def as_text(graph: Graph, *, imports: bool) -> str:
    """The layers, one line for each, or one line for each folder with its imports."""
    lines = []
    for number, folders in enumerate(layers(graph)):
        if imports:
            lines.append(f"layer {number}")
            lines += [f"  {folder} → {', '.join(graph[folder]) or '–'}" for folder in folders]
        else:
            lines.append(f"{number:2}  {'  '.join(folders)}")
    return "\n".join(lines)


def as_dot(graph: Graph) -> str:
    """The graph for Graphviz, each room in a box."""
    lines = ["digraph facestream {", "  rankdir=BT; node [shape=box, fontname=sans]; edge [color=gray50];"]
    for room in ROOMS:
        inside = " ".join(f'"{folder}";' for folder in graph if folder.partition("/")[0] == room)
        lines.append(f'  subgraph "cluster_{room}" {{ label="{room}"; {inside} }}')
    lines += [f'  "{one}" -> "{other}";' for one, others in graph.items() for other in others]
    return "\n".join([*lines, "}"])


def cycles(graph: Graph) -> list[str]:
    """A text for each cycle: its folders, and every import statement between them."""
    said = []
    for group in components(graph):
        if len(group) > 1:
            between = [graph[one][other] for one in group for other in graph[one] if other in group]
            said.append("\n".join([f"a cycle: {', '.join(group)}", *(f"  {one}" for some in between for one in some)]))
    return said


def main() -> int:
    """Print the graph; report cycles on stderr."""
    parser = argparse.ArgumentParser(description="Which folder of the code imports which.")
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parents[1], help="the clone")
    parser.add_argument("--imports", action="store_true", help="tell for each folder what it imports")
    parser.add_argument("--dot", action="store_true", help="print it for Graphviz")
    options = parser.parse_args()
    graph = read_graph(options.root)
    print(as_dot(graph) if options.dot else as_text(graph, imports=options.imports))
    found = cycles(graph)
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
