"""The files of the live page: how they are served, and that they need nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from schemas.reasons import Reason
from streams.gateway.advice import ADVICE, told
from streams.gateway.problems import GatewayReason

FOLDER = Path(__file__).parents[3] / "streams" / "gateway" / "page"
FILES = sorted(path.name for path in FOLDER.iterdir())
NAMESPACE = "http://www.w3.org/2000/svg"
NO_ADVICE = {
    # The page sends neither digests nor addresses, nor searches or verifications.
    Reason.DIGEST_MISMATCH, Reason.URI_NOT_ALLOWED, Reason.URI_UNREADABLE, Reason.SEARCH_OFF,
    Reason.SUBJECT_NOT_ENROLLED,
    # Whoever runs facestream acts, not who sees the page.
    Reason.OVERLOADED, Reason.NOT_AN_EVENT, Reason.UNKNOWN_SCHEMA, Reason.MALFORMED_EVENT, Reason.NO_KEY,
    Reason.KEY_MISMATCH, Reason.UNKNOWN_MODEL, Reason.UNREADABLE, Reason.FAILED,
    # Its detail says what to do.
    GatewayReason.INVALID_REQUEST,
    # The page makes no such requests.
    GatewayReason.NOT_FOUND,
    GatewayReason.METHOD_NOT_ALLOWED, GatewayReason.UNSUPPORTED_TYPE, GatewayReason.HEAD_TOO_LARGE,
    GatewayReason.UNKNOWN_VERSION, GatewayReason.UNKNOWN_HOOK, GatewayReason.NOT_POSSIBLE,
}  # fmt: skip


def test_it_is_served_without_a_key_under_a_strict_policy(http: httpx.Client) -> None:
    for url in ("/", *(f"/page/{name}" for name in FILES), "/page/reasons.json"):
        answer = http.get(url)
        assert answer.status_code == 200, url
        policy = answer.headers.get_list("Content-Security-Policy")
        assert len(policy) == 1 and policy[0].startswith("default-src 'self';") and "unsafe" not in policy[0], url
        assert "trusted-types 'none'" in policy[0]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        again = http.get(url, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["Content-Security-Policy"] == policy[0]
    assert http.get("/page/main.js").headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e%2fapp.py", "..%5capp.py", "reasons.json%00"])
def test_no_other_file_is_served(http: httpx.Client, name: str) -> None:
    answer = http.get(f"/page/{name}")
    assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")


@pytest.mark.parametrize("name", FILES)
def test_its_files_name_no_other_address_and_make_no_markup(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8").replace(NAMESPACE, "")
    assert not re.search(r"https?://|//[a-z0-9-]+\.[a-z]|@import|url\(", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text)
    assert not re.search(r"localStorage|sessionStorage|document\.cookie|indexedDB", text), "the key stays in memory"
    assert not re.search(r"\sstyle=|\son[a-z]+=\"|<style|<script>", text)


def test_every_reason_that_a_person_meets_says_what_to_do() -> None:
    words = {*Reason, *GatewayReason}
    assert set(ADVICE) | NO_ADVICE == words
    assert not set(ADVICE) & NO_ADVICE
    assert all(text.endswith(".") for text in ADVICE.values())
    assert set(told()) == set(words) and all(one["meaning"] for one in told().values())
