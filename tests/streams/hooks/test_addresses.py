from __future__ import annotations

import pytest

from streams.hooks.addresses import AddressRefused, HookAddress, check_leads_to, checked_address
from streams.settings import Settings

OUTSIDE = Settings()
INSIDE = Settings(hook_private_networks=True)


def test_a_public_address_is_taken() -> None:
    assert checked_address("https://example.org/a%20b?token=1", OUTSIDE) == HookAddress(True, "example.org", 443)
    assert checked_address("https://93.184.216.34:8443/", OUTSIDE).port == 8443


@pytest.mark.parametrize(
    "address",
    [
        *("", "example.org", "ftp://example.org/", "https://", "https://:443/", "https://example.org:0/"),
        *("http://example.org/", "https://user:word@example.org/", "https://example.org/#part"),
        *("https://example.org/a b", "https://example.org\\@127.0.0.1/", "https://exämple.org/", "https://[::1"),
        *("https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest", "https://[fe80::1%25lo]/"),
        *("https://[::ffff:10.0.0.1]/", "https://10.0.0.1:8443/", "https://0.0.0.0/", "https://example.org:99999/"),
        "https://example.org/" + "x" * 2_000,
    ],
)
def test_others_are_not(address: str) -> None:
    with pytest.raises(AddressRefused):
        checked_address(address, OUTSIDE)


def test_a_setting_allows_private_networks_there_without_tls() -> None:
    assert checked_address("http://127.0.0.1:8080/hook", INSIDE) == HookAddress(False, "127.0.0.1", 8080)
    assert checked_address("https://10.0.0.1/", INSIDE).is_secure
    with pytest.raises(AddressRefused, match="https"):
        checked_address("http://93.184.216.34/", INSIDE)
    name = checked_address("http://hooks.internal/", INSIDE)
    check_leads_to(name, ["10.0.0.1"], INSIDE)
    with pytest.raises(AddressRefused, match="https"):
        check_leads_to(name, ["10.0.0.1", "93.184.216.34"], INSIDE)


def test_a_name_that_leads_inside_with_one_of_its_addresses_is_refused() -> None:
    name = checked_address("https://example.org/", OUTSIDE)
    check_leads_to(name, ["93.184.216.34", "2606:2800:220:1::1"], OUTSIDE)
    with pytest.raises(AddressRefused, match="private"):
        check_leads_to(name, ["93.184.216.34", "127.0.0.1"], OUTSIDE)
