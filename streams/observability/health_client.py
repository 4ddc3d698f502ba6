"""What the workers of a consumer group say of themselves."""

from __future__ import annotations

import socket
import time
from ipaddress import ip_address
from typing import Any

import requests

from streams.kafka.consumer_groups import GroupMember
from streams.settings import Settings

_ASK_S = 2.0


def health_host(member: GroupMember, settings: Settings) -> str:
    """The address of a worker's health server: on this machine, or the address that the broker knows."""
    if member.machine != socket.gethostname():
        return member.host.lstrip("/")
    return "127.0.0.1" if ip_address(settings.health_host).is_unspecified else settings.health_host


def health_of(member: GroupMember, settings: Settings) -> dict[str, Any] | None:
    """What a worker says of its health, and how far its clock is from ours; None if it does not answer."""
    if member.health_port is None:
        return None
    began = time.time()
    try:
        answer = requests.get(f"http://{health_host(member, settings)}:{member.health_port}/healthz", timeout=_ASK_S)
        report: dict[str, Any] = answer.json()
    except (requests.RequestException, ValueError):
        return None
    took = time.time() - began
    if (report.get("name"), report.get("host")) != (member.name, member.machine):
        return None
    return report | {"ahead_s": report["time"] - (began + took / 2), "uncertain_s": took / 2}
