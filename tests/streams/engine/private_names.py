"""Looks for the private names of a library: whether they are still there, and which ones a module of ours uses."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType


def is_there(owner: type, name: str) -> bool:
    """Whether a class has a method or class attribute of this name, or one of its methods names such an attribute."""
    methods = [one for kind in owner.__mro__ for one in vars(kind).values() if inspect.isfunction(one)]
    return (
        hasattr(owner, name)
        or any(name in vars(kind).get("__annotations__", {}) for kind in owner.__mro__)
        or any(name in method.__code__.co_names for method in methods)
    )


def used_by(module: ModuleType) -> set[str]:
    """The private names that a module takes of other objects, or overrides in subclasses of the library's."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    taken = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    overridden = {
        method.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.bases
        for method in node.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    own = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    return {name for name in taken | overridden if name.startswith("_") and not name.startswith("__")} - own
