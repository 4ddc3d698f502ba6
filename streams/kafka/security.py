"""How clients of Kafka secure their connections: one reading of the settings, for librdkafka and for Python's own TLS.

:mod:`streams.kafka.connection` and :mod:`streams.kafka.async_connection` make the clients.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from schemas.errors import FacestreamError
from streams.kafka.cluster_settings import ConnectionSettings
from streams.kafka.tokens import TokenSource, tokens_in
from streams.settings_file import secret_from

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
OAUTHBEARER = "OAUTHBEARER"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTHBEARER)


class InvalidKafkaSecurity(FacestreamError):
    """The settings of the connection to Kafka contradict each other, or a file that they name cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How a connection is secured.

    Attributes:
        protocol: one of :data:`PROTOCOLS`.
        ca_file: CAs of the brokers' certificates; None: those that the system trusts.
        certificate: PEM files of the client's certificate and its key.
        mechanism: one of :data:`MECHANISMS`; None without SASL.
        username: of a mechanism with passwords.
        password: of that user.
        tokens: gives the tokens of OAUTHBEARER.
    """

    protocol: str = "PLAINTEXT"
    ca_file: str | None = None
    certificate: tuple[str, str] | None = None
    mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tokens: TokenSource | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: ConnectionSettings) -> Security:
        """Read the settings, and the password from its file.

        Raises:
            InvalidKafkaSecurity: they contradict each other, or name a file that cannot be read.
            InvalidSettingsFile: the file of the password cannot be read.
        """
        protocol = settings.kafka_security_protocol
        if protocol not in PROTOCOLS:
            raise InvalidKafkaSecurity(
                f"FACESTREAM_KAFKA_SECURITY_PROTOCOL={protocol!r} cannot be used: it is one of {', '.join(PROTOCOLS)}"
            )
        _check_unused(settings, protocol)
        ca, certificate = _tls_files(settings)
        tls = cls(protocol=protocol, ca_file=ca, certificate=certificate)
        return _authenticated(tls, settings) if protocol.startswith("SASL_") else tls

    @property
    def encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.protocol.endswith("SSL")

    @property
    def who(self) -> str:
        """How the client names itself to the brokers, for messages."""
        if self.username is not None:
            return f"the user {self.username} ({self.mechanism})"
        if self.tokens is not None:
            return f"the token from {self.tokens.name}"
        return f"the certificate {self.certificate[0]}" if self.certificate else "a client without a name"

    def confluent_options(self) -> dict[str, Any]:
        """The options of librdkafka; none of an unsecured connection."""
        options: dict[str, Any] = {} if self.protocol == "PLAINTEXT" else {"security.protocol": self.protocol}
        if self.ca_file is not None:
            options["ssl.ca.location"] = self.ca_file
        if self.certificate is not None:
            options["ssl.certificate.location"], options["ssl.key.location"] = self.certificate
        if self.mechanism is not None:
            options["sasl.mechanism"] = self.mechanism
        if self.username is not None:
            options |= {"sasl.username": self.username, "sasl.password": self.password}
        if (tokens := self.tokens) is not None:

            def current(_: str) -> tuple[str, float]:
                token = tokens.token()
                return token.value, token.expires_at

            options["oauth_cb"] = current
        return options

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS as aiokafka takes it; None if the connection is not encrypted.

        Raises:
            InvalidKafkaSecurity: a file is no certificate or no key of one.
        """
        if not self.encrypted:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as error:
            raise InvalidKafkaSecurity(
                f"FACESTREAM_KAFKA_CA_FILE={self.ca_file} holds no certificate in PEM"
            ) from error
        if self.certificate is not None:
            try:
                context.load_cert_chain(*self.certificate)
            except ssl.SSLError as error:
                raise InvalidKafkaSecurity(
                    f"FACESTREAM_KAFKA_CERTIFICATE_FILE={self.certificate[0]} and FACESTREAM_KAFKA_KEY_FILE="
                    f"{self.certificate[1]} are no certificate and its key in PEM"
                ) from error
        return context


def _authenticated(tls: Security, settings: ConnectionSettings) -> Security:
    """The same with SASL."""
    mechanism = settings.kafka_sasl_mechanism
    if mechanism not in MECHANISMS:
        raise InvalidKafkaSecurity(
            f"FACESTREAM_KAFKA_SASL_MECHANISM={mechanism!r} cannot be used: it is one of {', '.join(MECHANISMS)}"
        )
    if mechanism == OAUTHBEARER:
        if not settings.kafka_token_file:
            raise InvalidKafkaSecurity(f"{tls.protocol} with {OAUTHBEARER} needs FACESTREAM_KAFKA_TOKEN_FILE")
        return replace(tls, mechanism=mechanism, tokens=tokens_in(settings.kafka_token_file))
    given, file = settings.kafka_password, settings.kafka_password_file
    if not settings.kafka_username or not (given or file):
        raise InvalidKafkaSecurity(
            f"{tls.protocol} with {mechanism} needs FACESTREAM_KAFKA_USERNAME and FACESTREAM_KAFKA_PASSWORD_FILE "
            "(or FACESTREAM_KAFKA_PASSWORD)"
        )
    password = secret_from(file, "FACESTREAM_KAFKA_PASSWORD_FILE") if file else given
    return replace(tls, mechanism=mechanism, username=settings.kafka_username, password=password)


def _check_unused(settings: ConnectionSettings, protocol: str) -> None:
    """Refuse what would silently not be used: a password that is set was meant to be asked for."""
    tls = ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file")
    sasl = ("kafka_username", "kafka_password", "kafka_password_file", "kafka_token_file")
    for names, used, wanted in (
        (tls, protocol.endswith("SSL"), "SSL or SASL_SSL"),
        (sasl, protocol.startswith("SASL_"), "SASL_SSL"),
    ):
        for name in names:
            if not used and getattr(settings, name):
                raise InvalidKafkaSecurity(
                    f"FACESTREAM_{name.upper()} is set, but FACESTREAM_KAFKA_SECURITY_PROTOCOL is {protocol}: "
                    f"set it to {wanted}"
                )


def _tls_files(settings: ConnectionSettings) -> tuple[str | None, tuple[str, str] | None]:
    """The file of the CAs, and those of the client's certificate and its key."""
    found = {
        name: _readable(name, getattr(settings, name))
        for name in ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file")
    }
    certificate, key = found["kafka_certificate_file"], found["kafka_key_file"]
    if (certificate is None) != (key is None):
        raise InvalidKafkaSecurity(
            "FACESTREAM_KAFKA_CERTIFICATE_FILE and FACESTREAM_KAFKA_KEY_FILE belong together: only one is set"
        )
    return found["kafka_ca_file"], (certificate, key) if certificate and key else None


def _readable(name: str, path: Path | str | None) -> str | None:
    if not path:
        return None
    try:
        with Path(path).open("rb"):
            return os.fspath(path)
    except OSError as error:
        raise InvalidKafkaSecurity(f"FACESTREAM_{name.upper()}={path} cannot be read: {error.strerror}") from error
