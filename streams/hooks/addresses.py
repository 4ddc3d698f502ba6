"""Which addresses a hook may have."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from schemas.errors import FacestreamError
from streams.public_addresses import is_public
from streams.settings import Settings

_MOST_CHARACTERS = 2_000


class AddressRefused(FacestreamError):
    """Nothing is posted to such an address; the message says why."""


@dataclass(frozen=True, slots=True)
class HookAddress:
    """An address in the parts that matter."""

    is_secure: bool
    host: str
    port: int


def checked_address(address: str, settings: Settings) -> HookAddress:
    """Check what can be seen without asking for the host's name.

    Raises:
        AddressRefused: it is no address that may be posted to.
    """
    if len(address) > _MOST_CHARACTERS:
        raise AddressRefused(f"the address of a hook has at most {_MOST_CHARACTERS} characters")
    if not address.isascii() or any(ord(c) <= 0x20 or c in "\\\x7f" for c in address):
        raise AddressRefused("the address holds a space, a backslash, or what is not ASCII: write it in % and punycode")
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(f"that is no address: {error}") from error
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in ("https", "http") or not host or port == 0:
        raise AddressRefused("an address is like https://example.org/path")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("the address of a hook has no user, password or fragment: the signature says who posts")
    if parts.scheme == "http" and not settings.hook_private_networks:
        raise AddressRefused("the address must begin with https://: what is posted names people")
    found = HookAddress(parts.scheme == "https", host, port or (443 if parts.scheme == "https" else 80))
    try:
        ip = str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:  # a name, which is looked up when something is posted
        return found
    check_leads_to(found, [ip], settings)
    return found


def check_leads_to(address: HookAddress, ips: list[str], settings: Settings) -> None:
    """Check where an address leads, before anything is connected to it.

    Raises:
        AddressRefused: one of these IP addresses may not be connected to.
    """
    public = [is_public(ip) for ip in ips]
    if not settings.hook_private_networks and not all(public):
        raise AddressRefused(f"{address.host} is in a private network: FACESTREAM_HOOK_PRIVATE_NETWORKS would allow it")
    if not address.is_secure and any(public):
        raise AddressRefused(f"{address.host} is not in a private network: its address must begin with https://")
