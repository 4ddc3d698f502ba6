"""Whether an IP address belongs to the public internet: what an address of somebody else may lead to."""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses that a gateway translates to the IPv4 address in their last four bytes (RFC 6052)."""


def is_public(ip: str) -> bool:
    """Whether an address, perhaps with a zone, leads into the internet rather than into a private network.

    An IPv6 address that stands for an IPv4 address is as public as that one.

    Raises:
        ValueError: it is no IP address.
    """
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(address.packed[-4:])))
        for inner in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())):
            if inner is not None and not is_public(str(inner)):
                return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast
