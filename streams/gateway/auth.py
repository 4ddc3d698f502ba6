"""Who calls, and whether he may."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import Request

from schemas.access import ApiKey, Scope
from schemas.ids import canonical, checked_name
from schemas.ingest import Mode
from streams.gateway.context import context
from streams.gateway.problems import GatewayReason, Problem

_BEARER = "Bearer "
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="facestream"'}
_SAME_SITE = {"same-origin", "none"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever calls, by his key; ``key_id`` is empty where the gateway asks for none."""

    key_id: str
    scopes: frozenset[str]
    users: frozenset[str]
    all_users: bool

    @classmethod
    def of(cls, record: ApiKey) -> Caller:
        """The holder of a key."""
        return cls(record.key_id, frozenset(record.scopes), frozenset(record.users), record.all_users)

    def reaches(self, user_id: str) -> bool:
        """Whether the key reaches the data of a user, given in canonical form."""
        return self.all_users or user_id in self.users

    def may_see(self, user_id: str, mode: str | None) -> bool:
        """Whether an answer may be shown; one to a search names subjects of other users too."""
        return self.reaches(user_id) and (mode != Mode.SEARCH or Scope.SEARCH in self.scopes)

    def user(self, name: str) -> str:
        """The canonical form of a user whose data the key reaches.

        Raises:
            InvalidId: it is no name.
            Problem: the key does not reach his data, whether or not there is such a user.
        """
        form = checked_name("user_id", name)
        if not self.reaches(form):
            raise Problem(403, GatewayReason.WRONG_USER, f"the key does not reach the data of {form[:40]!r}")
        return form

    def require(self, *scopes: Scope) -> None:
        """Check that the key has these scopes.

        Raises:
            Problem: it lacks one.
        """
        if missing := [scope.value for scope in scopes if scope not in self.scopes]:
            raise Problem(403, GatewayReason.MISSING_SCOPE, f"the key lacks the scope {' and '.join(missing)}")


NOBODY = Caller("", frozenset(), frozenset(), all_users=False)
"""Who has not said who he is."""
EVERYBODY = Caller("", frozenset(scope.value for scope in Scope), frozenset(), all_users=True)
"""Whoever calls a gateway without keys."""


class Needs:
    """A dependency of a route: the caller, who must have these scopes, and where it is so the data of all users."""

    def __init__(self, *scopes: Scope, all_users: bool = False) -> None:
        self.scopes = scopes
        self.all_users = all_users

    async def __call__(self, request: Request) -> Caller:
        """The caller.

        Raises:
            Problem: he has no valid key, or not for this.
            KeysUnknown: it cannot be said.
        """
        caller = identify(request)
        if caller is NOBODY:
            raise Problem(
                401, GatewayReason.INVALID_KEY, "a valid key is needed: Authorization: Bearer fs_…", _CHALLENGE
            )
        caller.require(*self.scopes)
        if self.all_users and not caller.all_users:
            raise Problem(403, GatewayReason.WRONG_USER, "this is about all users: it needs a key for all of them")
        await context(request).rate.take(caller.key_id, canonical(request.path_params.get("user_id", "")))
        return caller


def identify(request: Request) -> Caller:
    """Who calls; NOBODY without a key.

    Raises:
        Problem: the key is unknown, revoked or over; or a gateway without keys is called from a web page.
    """
    here = context(request)
    if here.keys is None:
        _check_local(request)
        return EVERYBODY
    text = _presented(request)
    if text is None:
        return NOBODY
    record = here.keys.check(text)
    if record is None:
        raise Problem(401, GatewayReason.INVALID_KEY, "the key is unknown, revoked or over", _CHALLENGE)
    here.usage.note(record.key_id)
    return Caller.of(record)


def _presented(request: Request) -> str | None:
    header = request.headers.get("authorization", "")
    if header.startswith(_BEARER):
        return header.removeprefix(_BEARER).strip()
    if header:
        return ""
    return request.headers.get("x-api-key")


def _check_local(request: Request) -> None:
    """Refuse what a web page makes a browser send, and names that another DNS server lets lead here."""
    headers = request.headers
    host = headers.get("host", "").rsplit(":", 1)[0].strip("[]")
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in _SAME_SITE or not is_loopback(host):
        raise Problem(403, GatewayReason.FOREIGN_ORIGIN, "a gateway without keys answers programs of this machine only")


def is_loopback(host: str) -> bool:
    """Whether an address or name stands for this machine only."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
