"""Prometheus' programs, for the tests of alerts and dashboards: used where they are installed."""

from __future__ import annotations

import shutil
import sys

MISSING = (
    "prometheus and promtool are not found (Debian, Ubuntu: apt-get install prometheus; Fedora: dnf install "
    "prometheus2; elsewhere: https://prometheus.io/download/)"
)


def found(program: str) -> str | None:
    """The path of ``prometheus`` or ``promtool``."""
    return shutil.which(program)


if __name__ == "__main__":
    sys.exit(None if found("prometheus") and found("promtool") else MISSING)
