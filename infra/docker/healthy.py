"""Exits with 0 if the worker, or the gateway, of this container is ready; the images' health check."""

from __future__ import annotations

import os
import sys
import urllib.request

DEFAULTS = {"FACESTREAM_HEALTH_PORT": "9100", "FACESTREAM_GATEWAY_PORT": "8085"}


def main() -> int:
    """Ask both, since only one of them runs here."""
    for name, default in DEFAULTS.items():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{os.environ.get(name, default)}/readyz", timeout=2):
                return 0
        except OSError:  # nothing listens there, or it is not ready
            continue
    return 1


if __name__ == "__main__":
    sys.exit(main())
