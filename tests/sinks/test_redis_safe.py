"""Redis behind TLS, with users and passwords: all is done, and what is wrong is said, without the password."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from infra.ports import free_ports
from infra.supervisor import Supervisor
from sinks.base import SinkUnavailable
from sinks.redis import InvalidRedisSettings, RedisAddress, RedisResults, RedisSink, ResultsUnavailable
from sinks.redis.live import LiveStreams
from streams.settings import Settings
from tests.sinks.examples import delivery, match
from tests.sinks.servers import start_redis
from tests.sinks.tls import Certificates, terminator
from tests.sinks.whole_path import walk
from tests.waiting import wait_until

PASSWORD = "pa55/w@rd#?"
RULES = dict(
    re.findall(r"^ACL SETUSER (\w+) (.*)$", (Path(__file__).parents[2] / "docs/operations.md").read_text(), re.M)
)
"""The rights that the documentation gives: those of facestream's own processes, and those of applications."""


@dataclass(frozen=True)
class Secured:
    """A server with users, behind TLS."""

    plain: str
    port: int
    certificates: Certificates
    folder: Path

    def settings(self, user: str = "facestream", host: str = "localhost", **changes: object) -> Settings:
        (self.folder / "password").write_text(f"{PASSWORD}\n")
        values = {
            "redis_url": f"rediss://{user}@{host}:{self.port}/0",
            "redis_ca_file": self.certificates.ca_file,
            "redis_password_file": self.folder / "password",
        }
        return Settings(**(values | changes))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    with ExitStack() as stack:
        server = start_redis(stack.enter_context(Supervisor()), folder / "redis")
        with redis.Redis.from_url(server.url) as client:
            for user, rules in RULES.items():
                client.execute_command("ACL", "SETUSER", user, *rules.replace(">PASSWORD", f">{PASSWORD}").split())
        certificates = Certificates(folder)
        port = stack.enter_context(terminator(certificates.context("localhost"), urlsplit(server.url).port or 0))
        yield Secured(server.url, port, certificates, folder)


def test_all_is_done_with_tls_a_user_and_a_password_file(secured: Secured) -> None:
    walk(secured.settings())


def test_an_application_may_read_and_not_write(secured: Secured) -> None:
    event = match(user_id="reader")
    with closing(RedisSink(RedisAddress.of(secured.settings()))) as sink:
        sink.write([delivery(event)])
    theirs = secured.settings("reader")
    with closing(RedisResults.of(theirs)) as results, closing(RedisSink(RedisAddress.of(theirs))) as sink:
        assert results.result(event.event_id) is not None
        assert [one.event["event_id"] for one in results.follow("reader", "0", timeout_s=0.1)] == [event.event_id]
        with pytest.raises(SinkUnavailable, match="Redis does not give its user the right"):
            sink.write([delivery(match())])


def wrong_password(secured: Secured) -> Settings:
    settings = secured.settings()
    (secured.folder / "password").write_text("other")
    return settings


def wrong_ca(secured: Secured) -> Settings:
    return secured.settings(redis_ca_file=Certificates(secured.folder, "other").ca_file)


WRONG: dict[str, tuple[Callable[[Secured], Settings], str]] = {
    "password": (wrong_password, "Redis refuses the user or the password (invalid username-password pair"),
    "user": (lambda secured: secured.settings("nobody"), "Redis refuses the user or the password (invalid"),
    "no password file": (
        lambda secured: secured.settings(redis_password_file="missing"),
        "Redis refuses the user or the password (FACESTREAM_REDIS_PASSWORD_FILE=missing cannot be read: No such file",
    ),
    "CA": (wrong_ca, "Redis has a certificate that no trusted CA has signed ("),
    "no CA": (
        lambda secured: secured.settings(redis_ca_file=None),
        "Redis has a certificate that no trusted CA has signed (",
    ),
    "host name": (
        lambda secured: secured.settings(host="127.0.0.1"),
        "Redis has a certificate for another host name (",
    ),
    "nobody there": (
        lambda secured: secured.settings(redis_url="rediss://u@localhost:1/0"),
        "no Redis answers (Error 111 connecting to localhost:1",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_each_fault_has_a_line_of_its_own(what: str, secured: Secured) -> None:
    make, words = WRONG[what]
    settings = make(secured)
    with closing(RedisResults.of(settings)) as results, pytest.raises(ResultsUnavailable) as told:
        results.result(match().event_id)
    assert words in str(told.value)
    with pytest.raises(ResultsUnavailable) as told:
        asyncio.run(last_id(settings))
    assert words in str(told.value)
    assert PASSWORD not in str(told.value)


async def last_id(settings: Settings) -> None:
    live = LiveStreams.of(settings)
    try:
        await live.last_id("ursula")
    finally:
        await live.close()


def test_an_expired_certificate(secured: Secured) -> None:
    context = secured.certificates.context("localhost", until=datetime(2020, 1, 1, tzinfo=UTC))
    with terminator(context, urlsplit(secured.plain).port or 0) as port:
        settings = secured.settings(redis_url=f"rediss://facestream@localhost:{port}/0")
        with closing(RedisResults.of(settings)) as results, pytest.raises(ResultsUnavailable, match="not count now"):
            results.result(match().event_id)


def test_a_changed_password_is_read_without_a_restart(secured: Secured) -> None:
    settings = secured.settings()
    with redis.Redis.from_url(secured.plain) as admin, closing(RedisResults.of(settings)) as results:
        assert results.result(match().event_id) is None
        admin.execute_command("ACL", "SETUSER", "facestream", "resetpass", ">next")
        admin.execute_command("CLIENT", "KILL", "USER", "facestream")
        with pytest.raises(ResultsUnavailable, match="refuses the user or the password"):
            results.result(match().event_id)
        (secured.folder / "password").write_text("next")
        assert results.result(match().event_id) is None
        admin.execute_command("ACL", "SETUSER", "facestream", "resetpass", f">{PASSWORD}")


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:pa55/ss@host/0",
        "redis://u:55/pa55@host/0",
        "redis://u:pa55#ss@host/0",
        "redis://u:55#pa55@host/0",
        "redis://u:pa55?ss@host/0",
        "redis://u:55?pa55@host/0",
        "redis://u:pa55[ss@host/0",
        "redis://u:pa55\u2100ss@host/0",
        "http://u:pa55@host/0",
        "u:pa55@host",
    ],
)
def test_an_address_that_cannot_be_used_shows_no_password(url: str) -> None:
    with pytest.raises(InvalidRedisSettings, match="FACESTREAM_REDIS_URL cannot be used") as told:
        RedisAddress(url)
    assert "pa55" not in repr(told.value)
    assert told.value.__cause__ is None and told.value.__suppress_context__


def test_a_password_is_shown_nowhere() -> None:
    address = RedisAddress("redis://u:pa55@host/0")
    assert "pa55" not in repr(address)
    assert address.where == "host:6379"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"redis_url": "redis://host/0", "redis_ca_file": "ca.pem"}, "does not begin with rediss://"),
        ({"redis_url": "redis://u:p@host/0", "redis_password_file": "password"}, "has a password too"),
        ({"redis_url": "redis://host/0?password=p", "redis_password_file": "password"}, "has a password too"),
        ({"redis_url": "rediss://host/0", "redis_ca_file": "missing"}, "FACESTREAM_REDIS_CA_FILE=missing cannot be"),
        ({"redis_url": "rediss://host/0", "redis_ca_file": __file__}, "holds no certificate in PEM"),
    ],
    ids=["no TLS", "two passwords", "password as option", "no CA file", "no certificate"],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidRedisSettings, match=words):
        RedisResults.of(Settings(**changes))


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs a redis-server with TLS, as Debian's")
def test_a_server_with_tls_of_its_own(tmp_path: Path) -> None:
    certificates, [port] = Certificates(tmp_path), free_ports(1)
    certificate, key = certificates.files(tmp_path, "localhost")
    (tmp_path / "users.acl").write_text(
        "user default off\n"
        + "".join(f"user {user} {rules.replace('>PASSWORD', f'>{PASSWORD}')}\n" for user, rules in RULES.items())
    )
    options = {
        **{"port": 0, "tls-port": port, "bind": "127.0.0.1", "dir": tmp_path, "save": "", "tls-auth-clients": "no"},
        **{"tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": certificates.ca_file},
        "aclfile": tmp_path / "users.acl",
    }
    argv = ["redis-server", *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            settings = Secured("", port, certificates, tmp_path).settings()
            wait_until(lambda: answers(settings))
            walk(settings)
            results = RedisResults(f"rediss://localhost:{port}/0?ssl_ca_certs={certificates.ca_file}")
            with closing(results), pytest.raises(ResultsUnavailable, match="Redis refuses the user or the password"):
                results.result(match().event_id)
        finally:
            process.kill()


def answers(settings: Settings) -> bool:
    with closing(RedisResults.of(settings)) as results:
        try:
            return results.result(match().event_id) is None
        except ResultsUnavailable:
            return False
