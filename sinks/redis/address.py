"""Where the Redis-protocol server is, and how a client proves who it is and checks who the server is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit, urlunsplit

from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError

from schemas.errors import FacestreamError

_SCHEMES = ("redis", "rediss", "unix")
_PORT = 6379


class InvalidRedisSettings(FacestreamError, ValueError):
    """The settings of the connection to Redis cannot be used; the message says why, and never shows a password."""


class RedisSettings(Protocol):
    """The settings that a client of Redis needs."""

    @property
    def redis_url(self) -> str:
        """The Redis-protocol server; ``rediss://`` for TLS."""

    @property
    def redis_prefix(self) -> str:
        """What stands before every key."""

    @property
    def redis_ca_file(self) -> Path | str | None:
        """PEM file of the CAs that may have signed the server's certificate; None: those that the system trusts."""

    @property
    def redis_password_file(self) -> Path | str | None:
        """The file with the password of the user in the URL."""

    @property
    def redis_cluster(self) -> bool:
        """Whether it is a Redis Cluster."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A Redis-protocol server, and how to connect to it.

    Attributes:
        url: ``redis://``, ``rediss://`` or ``unix://``, as redis-py takes it.
        ca_file: see :class:`RedisSettings`.
        password_file: see :class:`RedisSettings`.
        cluster: see :class:`RedisSettings`; the URL may then name several hosts, separated by commas.

    Raises:
        InvalidRedisSettings: it is no such URL, or it contradicts the files.
    """

    url: str = field(repr=False)
    ca_file: Path | str | None = None
    password_file: Path | str | None = None
    cluster: bool = False

    @classmethod
    def of(cls, settings: RedisSettings) -> RedisAddress:
        """The address that settings name."""
        files = settings.redis_ca_file or None, settings.redis_password_file or None
        return cls(settings.redis_url, *files, settings.redis_cluster)

    def __post_init__(self) -> None:
        """Refuse what redis-py would misread or refuse with a message that shows the password."""
        parts = _split(self.url)
        hosts = _host_parts(parts)
        if self.cluster and (parts.scheme == "unix" or parts.path not in ("", "/", "/0")):
            raise InvalidRedisSettings("FACESTREAM_REDIS_URL cannot be used: a cluster has only the database 0")
        if len(hosts) > 1 and not self.cluster:
            raise InvalidRedisSettings(
                "FACESTREAM_REDIS_URL cannot be used: only a cluster (FACESTREAM_REDIS_CLUSTER) has several hosts"
            )
        if self.ca_file and parts.scheme != "rediss":
            raise InvalidRedisSettings(
                "FACESTREAM_REDIS_CA_FILE is set, but FACESTREAM_REDIS_URL does not begin with rediss://, so nothing "
                "would be encrypted"
            )
        if self.password_file and (parts.password or "password" in parse_qs(parts.query)):
            raise InvalidRedisSettings(
                "FACESTREAM_REDIS_PASSWORD_FILE is set, and FACESTREAM_REDIS_URL has a password too: remove one of them"
            )

    @property
    def where(self) -> str:
        """Host and port, or the path of a socket, for messages."""
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            return unquote(parts.path)
        return ",".join(f"{host}:{port}" for host, port in self.hosts)

    @property
    def hosts(self) -> list[tuple[str, int]]:
        """The hosts and their ports: of a server one, of a cluster some of its nodes."""
        each = [urlsplit(f"//{one}") for one in _host_parts(urlsplit(self.url))]
        return [(one.hostname or "localhost", one.port or _PORT) for one in each]

    def options(self) -> dict[str, Any]:
        """The arguments of ``from_url`` of a client of redis-py.

        Raises:
            InvalidRedisSettings: the file of the CAs cannot be used.
        """
        parts = urlsplit(self.url)
        user, password = (None if text is None else unquote(text) for text in (parts.username, parts.password))
        options: dict[str, Any] = {"url": urlunsplit(parts._replace(netloc=_host_parts(parts)[0]))}
        if self.password_file:
            options["credential_provider"] = PasswordFile(user, Path(self.password_file))
        else:
            options |= {name: value for name, value in (("username", user), ("password", password)) if value}
        if self.ca_file:
            options["ssl_ca_certs"] = _checked_ca(self.ca_file)
        return options


class PasswordFile(CredentialProvider):
    """Reads the password for every new connection, so that a changed one is used without a restart."""

    def __init__(self, user: str | None, path: Path) -> None:
        """Without a user it is the password of the user ``default``."""
        self._user = user
        self._path = path

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """User and password; spaces and lines around the password do not count.

        Raises:
            redis.AuthenticationError: the file cannot be read, or is empty.
        """
        name = f"FACESTREAM_REDIS_PASSWORD_FILE={self._path}"
        try:
            password = self._path.read_text("utf-8").strip()
        except OSError as error:
            raise AuthenticationError(f"{name} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise AuthenticationError(f"{name} is not UTF-8") from None  # the error shows a part of it
        if not password:
            raise AuthenticationError(f"{name} is empty")
        return (self._user, password) if self._user else (password,)


def _split(url: str) -> SplitResult:
    """The parts of a URL that can be used. The errors of the standard library would show a password."""
    try:
        parts = urlsplit(url)
        ports = [urlsplit(f"//{one}").port for one in _host_parts(parts)]
        usable = parts.scheme in _SCHEMES and all(port is None or port > 0 for port in ports)
    except ValueError:
        usable = False
    else:
        # Of `redis://user:12/34@host` the host would be `user`, and the rest of the password its path.
        behind = [parts.path, parts.fragment, *(one for one in parts.query.split("&") if "=" not in one)]
        usable = usable and (parts.scheme == "unix" or not any("@" in one for one in behind))
    if not usable:
        raise InvalidRedisSettings(
            "FACESTREAM_REDIS_URL cannot be used: it is such as rediss://user@host:6379/0, with the password in "
            "FACESTREAM_REDIS_PASSWORD_FILE; in the address its / is written %2F, @ %40, # %23, ? %3F and % %25"
        ) from None
    return parts


def _host_parts(parts: SplitResult) -> list[str]:
    """Each host with its port, as it is written."""
    return parts.netloc.rpartition("@")[2].split(",")


def _checked_ca(path: Path | str) -> str:
    name = f"FACESTREAM_REDIS_CA_FILE={path}"
    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:
        raise InvalidRedisSettings(f"{name} holds no certificate in PEM") from None
    except OSError as error:
        raise InvalidRedisSettings(f"{name} cannot be read: {error.strerror}") from error
    return str(path)
