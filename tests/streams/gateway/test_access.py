"""Keys: every route refuses one that is wrong, lacks the scope, or is of another user."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from schemas.access import Scope
from schemas.clock import utc_now
from streams.api_keys.last_use import LastUse
from streams.api_keys.store import list_keys, revoke_key
from streams.gateway.app import ROUTERS
from streams.gateway.auth import Needs
from streams.gateway.server import CannotListen, opened, run_gateway
from streams.settings import Settings
from tests.streams.gateway.conftest import MakeKey, served
from tests.waiting import wait_until

OPEN = {"/api/", "/healthz", "/readyz", "/metrics", "/", "/page/{name}"}
BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/feedback": {"event_id": str(uuid.uuid4()), "statement": "is", "subject_id": "obama"},
    "/api/v1/models/{version}/{step}": {},
    "/api/v1/dead-letters/redrive": {},
    "/api/v1/hooks": {"address": "https://example.org/", "all_users": True},
}
"""What is sent to routes that take no picture."""
JPEG = b"\xff\xd8\xff\xe0" + b"picture" * 20


def routes() -> Iterator[tuple[str, str, Needs | None]]:
    """Method, path and guard of every route."""
    for route in (one for router in ROUTERS for one in router.routes):
        assert isinstance(route, APIRoute)
        needs = [one.call for one in route.dependant.dependencies if isinstance(one.call, Needs)]
        for method in route.methods:
            yield method, route.path, needs[0] if needs else None


GUARDED = [(method, path, needs) for method, path, needs in routes() if needs is not None]


def ask(http: httpx.Client, method: str, path: str, headers: dict[str, str], user: str = "anna") -> tuple[int, str]:
    """Status and reason of an answer."""
    url = path.format(
        user_id=user, subject_id="obama", event_id=uuid.uuid4(), version="some", step="shadow", hook_id="hook-1"
    )
    options: dict[str, Any] = {"content": JPEG} if method == "POST" else {}
    if path in BODIES and method == "POST":
        options = {"json": BODIES[path]}
    url = f"{url}?purpose=tests" if path.endswith("photos") else url
    answer = http.request(method, url, headers=headers, **options)
    return answer.status_code, answer.json().get("reason", "")


def test_every_route_but_those_without_data_has_a_guard(http: httpx.Client) -> None:
    assert {path for _, path, needs in routes() if needs is None} == OPEN
    described = http.get("/api/openapi.json").json()["paths"]
    assert {path for _, path, _ in GUARDED} == set(described) - OPEN and len(GUARDED) >= 6


def test_every_route_refuses_what_is_no_key(http: httpx.Client, make_key: MakeKey, settings: Settings) -> None:
    good = make_key()["Authorization"]
    revoked = make_key()["Authorization"]
    revoke_key(settings, revoked.removeprefix("Bearer "))
    other_secret = good[:-4] + ("aaaa" if good[-4:] != "aaaa" else "bbbb")
    expired = make_key(expires_at=utc_now() + timedelta(seconds=2))["Authorization"]
    wait_until(lambda: ask(http, "GET", "/api/v1/users/{user_id}/subjects", {"Authorization": expired})[0] == 401)
    wait_until(lambda: ask(http, "GET", "/api/v1/users/{user_id}/subjects", {"Authorization": revoked})[0] == 401)
    none = f"Bearer fs_{'a' * 10}_{'b' * 43}"
    for method, path, _ in GUARDED:
        for wrong in (revoked, other_secret, expired, none, "Bearer", "Bearer fs_", "Basic YTpi", good[7:]):
            assert ask(http, method, path, {"Authorization": wrong}) == (401, "invalid_key"), (path, wrong)
        assert ask(http, method, path, {}) == (401, "invalid_key"), path


def test_every_route_refuses_a_key_without_its_scope(http: httpx.Client, make_key: MakeKey) -> None:
    asked = {scope for _, _, needs in GUARDED for scope in needs.scopes}
    without = {scope: make_key(*(one for one in Scope if one is not scope)) for scope in asked}
    for method, path, needs in GUARDED:
        assert needs.scopes, path
        for scope in needs.scopes:
            assert ask(http, method, path, without[scope]) == (403, "missing_scope"), (path, scope)


def test_every_route_refuses_the_key_of_another_user(http: httpx.Client, make_key: MakeKey) -> None:
    bob = make_key(user="bob")
    for method, path, needs in GUARDED:
        of_users = "{user_id}" in path or needs.all_users
        expected = (403, "wrong_user") if of_users else (404, "unknown_event")
        assert ask(http, method, path, bob) == expected, path
        if "{user_id}" in path:
            assert ask(http, method, path, bob, user=" ") == (422, "invalid_id"), path


def test_a_camera_that_may_not_read_is_not_told_who_is_seen(http: httpx.Client, make_key: MakeKey, user: str) -> None:
    camera = make_key(Scope.FRAME, user=user)
    url = f"/api/v1/users/{user}/frames?camera_id=door"
    jpeg = camera | {"Content-Type": "image/jpeg"}
    assert http.post(url, headers=jpeg, content=JPEG).status_code == 202
    assert http.post(f"{url}&wait=1s", headers=jpeg, content=JPEG).json()["reason"] == "missing_scope"
    assert http.post(url, headers=jpeg | {"Prefer": "wait=1"}, content=JPEG).json()["reason"] == "missing_scope"
    assert http.post(f"{url}&mode=search", headers=jpeg, content=JPEG).json()["reason"] == "missing_scope"


def test_a_key_is_refused_soon_after_its_revocation(http: httpx.Client, make_key: MakeKey, settings: Settings) -> None:
    key = make_key()
    url = "/api/v1/users/anna/subjects"
    assert http.get(url, headers=key).status_code == 200
    revoke_key(settings, key["Authorization"].removeprefix("Bearer "))
    wait_until(lambda: http.get(url, headers=key).status_code == 401)


def test_only_a_digest_is_kept_and_the_last_use(http: httpx.Client, make_key: MakeKey, settings: Settings) -> None:
    key = make_key(name="noted")["Authorization"].removeprefix("Bearer ")
    record = next(one for one in list_keys(settings) if one.name == "noted")
    secret = key.rpartition("_")[2]
    assert record.key_id in key and secret.encode() not in record.secret_sha256
    before = utc_now()
    http.get("/api/", headers={"X-API-Key": key})
    last_use = LastUse(settings)
    wait_until(lambda: last_use.read().get(record.key_id, before - timedelta(hours=1)) >= before)
    last_use.close()


def test_the_gateway_says_who_calls(http: httpx.Client, make_key: MakeKey) -> None:
    assert http.get("/api/").json()["caller"] is None
    assert http.get("/api/", headers={"Authorization": "Bearer nonsense"}).status_code == 401
    key = make_key(Scope.READ, Scope.FRAME, user="anna")
    told = http.get("/api/", headers=key).json()
    assert told["caller"]["scopes"] == ["frame", "read"] and told["caller"]["users"] == ["anna"]
    assert key["Authorization"].startswith(f"Bearer {told['caller']['key']}_")
    assert told["limits"]["picture_bytes"] == 100_000


def test_a_rate_holds_over_all_gateways(make_key: MakeKey, settings: Settings) -> None:
    keys, url = [make_key(user="anna"), make_key()], "/api/v1/users/anna/subjects"
    limited = settings.model_copy(
        update={"gateway_requests_per_s": 2.0, "redis_prefix": f"{settings.redis_prefix}rate:"}
    )
    with opened(limited) as one, opened(limited) as two, served(one) as first, served(two) as second:
        answers = [http.get(url, headers=keys[0]) for _ in range(8) for http in (first, second)]
        passed = [answer.status_code for answer in answers].count(200)
        assert 4 <= passed < 16, "a bucket of four, and what came into it meanwhile"
        refused = next(answer for answer in answers if answer.status_code != 200)
        assert (refused.status_code, refused.json()["reason"]) == (429, "too_many_requests")
        assert refused.headers["Retry-After"] == "1"
        assert first.get(url, headers=keys[1]).status_code == 200, "another key has a bucket of its own"
        wait_until(lambda: second.get(url, headers=keys[0]).status_code == 200)


def test_security_headers_and_no_sharing_with_other_origins(http: httpx.Client, everything: dict[str, str]) -> None:
    for url in ("/api/", "/nothing", "/api/v1/users/anna/subjects", "/metrics"):
        headers = http.get(url, headers=everything | {"Origin": "https://elsewhere.example"}).headers
        assert headers["X-Content-Type-Options"] == "nosniff", url
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert "server" not in headers and "set-cookie" not in headers


def test_without_keys_only_programs_of_this_machine_are_answered(settings: Settings) -> None:
    with opened(settings, without_keys=True) as here, served(here) as http:
        url = "/api/v1/users/anna/subjects"
        assert http.get(url).status_code == 200
        for headers in (
            {"Origin": "https://elsewhere.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Host": "rebound.example"},
        ):
            assert http.get(url, headers=headers).json()["reason"] == "foreign_origin", headers
    with pytest.raises(CannotListen, match="without keys"):
        run_gateway(settings.model_copy(update={"gateway_host": "0.0.0.0"}), without_keys=True)
