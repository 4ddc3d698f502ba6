"""The settings of a client: the few of a deployment that an application has to know."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, Self

from sinks.redis.address import RedisSettings
from streams.client.errors import InvalidSettings
from streams.kafka.cluster_settings import ClusterSettings
from streams.settings_file import PREFIX, read

_RUNNING_FILE = "running.json"


class ClientOptions(ClusterSettings, RedisSettings, Protocol):
    """The settings that a client needs, from :class:`ClientSettings` or from the settings of a deployment."""

    @property
    def max_picture_bytes(self) -> int:
        """The largest picture."""

    @property
    def traces(self) -> bool:
        """Whether events carry OpenTelemetry traces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """The addresses and limits of facestream. Each value must be the same as for the workers.

    Each is also an environment variable, in capitals after ``FACESTREAM_``: see :meth:`from_environment`.
    """

    kafka: str = "127.0.0.1:9092"
    """Kafka bootstrap servers, comma separated."""
    kafka_security_protocol: str = "PLAINTEXT"
    """How to connect: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``."""
    kafka_ca_file: Path | None = None
    """PEM file of the CAs that may have signed the brokers' certificates; unset: those that the system trusts."""
    kafka_certificate_file: Path | None = None
    """PEM file of the client's certificate, where the brokers ask for one."""
    kafka_key_file: Path | None = None
    """PEM file of its private key."""
    kafka_sasl_mechanism: str = "SCRAM-SHA-512"
    """With ``SASL_*``: ``PLAIN``, ``SCRAM-SHA-256``, ``SCRAM-SHA-512`` or ``OAUTHBEARER``."""
    kafka_username: str | None = None
    """User of the first three."""
    kafka_password_file: Path | None = None
    """File with the user's password."""
    kafka_password: str | None = field(default=None, repr=False)
    """The password itself; rather use the file."""
    kafka_token_file: Path | None = None
    """File with the present token of ``OAUTHBEARER``."""
    topic_prefix: str = ""
    """Put before every topic name."""
    max_message_bytes: int = 12_000_000
    """Largest Kafka message; must exceed max_picture_bytes."""
    max_picture_bytes: int = 10_000_000
    """A larger encoded picture is refused."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Redis-protocol server with the results: ``redis://user@host:6379/0``, or ``rediss://`` for TLS."""
    redis_ca_file: str | None = None
    """PEM file of the CA that signed the certificate of Redis; unset: the CAs that the system trusts."""
    redis_password_file: str | None = None
    """File with the password of the user in ``redis_url``, which is read for every connection."""
    redis_cluster: bool = False
    """Whether Redis is a Redis Cluster; ``redis_url`` may then name several of its nodes, separated by commas."""
    redis_prefix: str = "facestream:"
    """Put before every Redis key."""
    bigquery_project: str = "facestream"
    """BigQuery project of the dataset; this and the next two are for ``bigquery_client`` only."""
    bigquery_dataset: str = "facestream"
    """BigQuery dataset of the tables and views."""
    bigquery_rest: str | None = None
    """Address of a BigQuery-compatible REST server; unset: Google's."""
    traces: bool = False
    """Whether events carry OpenTelemetry traces, which needs the extra ``traces``."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of this process.

        Variables come first, then what a ``facestream up`` wrote into the folder ``FACESTREAM_HOME`` (``.facestream``
        by default), then the settings file ``facestream.toml`` in it, then the defaults.

        Raises:
            InvalidSettings: a value that must be a positive number, or true or false, is not.
            InvalidSettingsFile: the settings file is no TOML, or cannot be read.
        """
        home = Path(environment.get(f"{PREFIX}HOME") or ".facestream")
        in_file, running = read(home), _running(home)
        values: dict[str, Any] = {}
        for one in fields(cls):
            name = f"{PREFIX}{one.name.upper()}"
            value = environment.get(name, running.get(one.name))
            if value is None and (value := in_file.get(one.name)) is not None and one.type == "Path | None":
                value = home.absolute() / Path(str(value)).expanduser()  # relative to the settings file
            if value is None or (value == "" and one.default is None):
                continue
            values[one.name] = _READ.get(str(one.type), _text)(name, value)
        return cls(**values)


def _running(home: Path) -> Mapping[str, Any]:
    try:
        values = json.loads((home / _RUNNING_FILE).read_text("utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return values if isinstance(values, dict) else {}


def _text(_: str, value: object) -> str:
    return str(value)


def _path(_: str, value: object) -> Path:
    return Path(str(value))


def _switch(name: str, value: object) -> bool:
    text = str(value).lower()
    if text not in _SWITCH:
        raise InvalidSettings(f"{name}={value!r} cannot be used: it must be true or false")
    return _SWITCH[text]


def _positive(name: str, value: object) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if number <= 0:
        raise InvalidSettings(f"{name}={value!r} cannot be used: it must be a whole number above 0")
    return number


_SWITCH = dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True) | dict.fromkeys(
    ("0", "false", "f", "no", "n", "off"), False
)
"""What pydantic takes for a bool too."""
_READ: Mapping[str, Callable[[str, object], Any]] = {"int": _positive, "bool": _switch, "Path | None": _path}
