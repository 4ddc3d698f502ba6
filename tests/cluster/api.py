"""Requests to the API server of the test's cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests
import urllib3

TOKEN = "admin-of-the-test"
MERGE = {"Content-Type": "application/merge-patch+json"}
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Api:
    """A server at a port of this machine, whose certificate it has made itself."""

    port: int

    @property
    def address(self) -> str:
        """Where it is."""
        return f"https://127.0.0.1:{self.port}"

    def is_healthy(self) -> bool:
        """Whether it answers, and has begun everything that it does at its start."""
        try:
            with _SESSION.get(f"{self.address}/readyz", timeout=_TIMEOUT_S) as answer:
                return answer.ok
        except requests.RequestException:
            return False

    def get(self, path: str) -> dict[str, Any]:
        """Read an object or a list."""
        return self._ask("GET", path)

    def list(self, path: str) -> list[dict[str, Any]]:
        """Read the objects of a list."""
        found: list[dict[str, Any]] = self.get(path)["items"]
        return found

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        return self._ask("POST", path, json=body)

    def merge(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change a part of an object."""
        return self._ask("PATCH", path, json=body, headers=MERGE)

    def delete(self, path: str) -> None:
        """Delete an object at once."""
        self._ask("DELETE", path, json={"gracePeriodSeconds": 0})

    def _ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        with _SESSION.request(
            method,
            self.address + path,
            headers={"Authorization": f"Bearer {TOKEN}", **(headers or {})},
            timeout=_TIMEOUT_S,
            **more,
        ) as answer:
            answer.raise_for_status()
            said: dict[str, Any] = answer.json()
            return said


urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
_SESSION = requests.Session()
_SESSION.verify = False
_SESSION.trust_env = False
