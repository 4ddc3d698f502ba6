"""Packages that an installation for one role does not have; every command is there all the same."""

from __future__ import annotations

_OURS = {"streams", "schemas", "models", "sinks", "infra"}
_WHERE = "`facestream[worker]` brings it, or `facestream[local]`, which `up` and `demo` need"
_ELSEWHERE = {"av": "`facestream[camera]` brings it, or `facestream[local]`"}


def missing_package(error: BaseException) -> str | None:
    """The module of another project that was to be imported and is not installed; None if the error is another."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0]
    return None if package in _OURS else package


def where(package: str) -> str:
    """How a package that is missing can be had."""
    return _ELSEWHERE.get(package, _WHERE)
