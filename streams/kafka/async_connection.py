"""Makes every client of aiokafka, and gives Faust its credentials; see :mod:`streams.kafka.connection`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiokafka
from aiokafka.abc import AbstractTokenProvider
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient

from streams.kafka.cluster_settings import ConnectionSettings
from streams.kafka.security import Security
from streams.kafka.tokens import TokenSource

if TYPE_CHECKING:
    from faust.auth import Credentials


class _Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """A token source as aiokafka asks it."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def token(self) -> str:
        """The present token; it may have to be fetched."""
        return (await asyncio.to_thread(self._source.token)).value


def _options(settings: ConnectionSettings) -> dict[str, Any]:
    """What all clients of aiokafka are given."""
    security = Security.of(settings)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "security_protocol": security.protocol,
        "ssl_context": security.ssl_context(),
    }
    if security.mechanism is not None:
        options["sasl_mechanism"] = security.mechanism
    if security.username is not None:
        options |= {"sasl_plain_username": security.username, "sasl_plain_password": security.password}
    if security.tokens is not None:
        options["sasl_oauth_token_provider"] = _Tokens(security.tokens)
    return options


def async_consumer(settings: ConnectionSettings, isolation: str) -> aiokafka.AIOKafkaConsumer:
    """A consumer without a group, which connects when it is started.

    Args:
        settings: of the connection.
        isolation: ``read_committed``, or ``read_uncommitted`` for one that looks at what else there is.
    """
    return aiokafka.AIOKafkaConsumer(**_options(settings), request_timeout_ms=10_000, isolation_level=isolation)


def async_admin(settings: ConnectionSettings, timeout_s: float) -> AIOKafkaAdminClient:
    """A client for consumer groups, which connects when it is started."""
    return AIOKafkaAdminClient(**_options(settings), request_timeout_ms=round(1000 * timeout_s))


def async_client(settings: ConnectionSettings, timeout_s: float) -> AIOKafkaClient:
    """A client for single requests, which connects when it is told to."""
    return AIOKafkaClient(**_options(settings), request_timeout_ms=round(1000 * timeout_s))


def faust_credentials(settings: ConnectionSettings) -> Credentials | None:
    """The credentials of a Faust application; None for an unsecured connection."""
    from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

    security = Security.of(settings)
    context = security.ssl_context()
    if security.tokens is not None:
        return OAuthCredentials(oauth_cb=_Tokens(security.tokens), ssl_context=context)
    if security.mechanism is not None:
        return SASLCredentials(
            username=security.username, password=security.password, mechanism=security.mechanism, ssl_context=context
        )
    return SSLCredentials(context) if context is not None else None
