"""Why a connection to Kafka does not come about: nobody answers, or one side does not accept the other.

librdkafka reports all of these as a lost connection; its reason comes by a callback, when a client is polled.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import FacestreamError
from streams.kafka.cluster_settings import ConnectionSettings
from streams.kafka.security import Security

_ASK_S = 5.0
_DEFAULT_PORT = 9092
_HOST_ERRORS = {62, 64}
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_EXPIRED_ERRORS = {9, 10}
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


class KafkaUnavailable(FacestreamError):
    """No broker answers at the configured address."""


class KafkaRefused(KafkaUnavailable):
    """A broker answers, but does not accept this client, or is not accepted by it.

    Attributes:
        what: is wrong.
        how: to mend it.
    """

    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"{what}: {how}")
        self.what = what
        self.how = how


def explained(settings: ConnectionSettings, error: KafkaException, options: Mapping[str, Any]) -> KafkaUnavailable:
    """What to say where no broker has answered: who refuses whom, or that nobody is there.

    Args:
        settings: of the connection.
        error: what the client said, which may have been anything.
        options: librdkafka's, with which to try once more.
    """
    reason = _reason(options) or error.args[0]
    security = Security.of(settings)
    at = settings.kafka
    text = reason.str()
    if reason.code() == KafkaError._AUTHENTICATION:
        if security.tokens is not None:
            what = f"Kafka at {at} does not accept {security.who}"
            return KafkaRefused(f"{what} ({_said(text)})", "see FACESTREAM_KAFKA_TOKEN_FILE")
        return KafkaRefused(
            f"Kafka at {at} does not accept {security.who} with this password",
            "check FACESTREAM_KAFKA_USERNAME, FACESTREAM_KAFKA_PASSWORD_FILE and FACESTREAM_KAFKA_SASL_MECHANISM",
        )
    if security.encrypted and (refused := _tls_problem(settings, security)) is not None:
        return refused
    if reason.code() == KafkaError._SSL or "SSL routines" in text:
        return KafkaRefused(
            f"Kafka at {at} ends the TLS handshake ({_said(text)})",
            "check FACESTREAM_KAFKA_CERTIFICATE_FILE, FACESTREAM_KAFKA_KEY_FILE and FACESTREAM_KAFKA_SECURITY_PROTOCOL",
        )
    if not security.encrypted and (_speaks_tls(at) or "security.protocol" in text):
        return KafkaRefused(
            f"Kafka at {at} takes no connections of the kind {security.protocol}",
            "set FACESTREAM_KAFKA_SECURITY_PROTOCOL to what it takes: SASL_SSL, SSL or SASL_PLAINTEXT",
        )
    return KafkaUnavailable(
        f"no Kafka answers at {at} ({error.args[0].str()}): start one with `facestream up`, or set FACESTREAM_KAFKA"
    )


def _reason(options: Mapping[str, Any]) -> KafkaError | None:
    """The first reason of a new client for not being connected, or None if it has none in time."""
    found: list[KafkaError] = []
    asked: dict[str, Any] = {**options, "error_cb": found.append}
    client = AdminClient(asked)
    deadline = time.monotonic() + _ASK_S
    while not found and time.monotonic() < deadline:
        client.poll(0.1)
    return next((one for one in found if one.code() != KafkaError._ALL_BROKERS_DOWN), None)


def _tls_problem(settings: ConnectionSettings, security: Security) -> KafkaRefused | None:
    """What is wrong with a broker's certificate: librdkafka has one message for all."""
    context = security.ssl_context()
    assert context is not None
    for address, host, port in _addresses(settings.kafka):
        try:
            with (
                socket.create_connection((host, port), _ASK_S) as plain,
                context.wrap_socket(plain, server_hostname=host),
            ):
                continue
        except ssl.SSLCertVerificationError as error:
            return _untrusted(address, host, security, error)
        except ssl.SSLError as error:
            if error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
                return KafkaRefused(
                    f"Kafka at {address} does not speak TLS",
                    "set FACESTREAM_KAFKA_SECURITY_PROTOCOL to PLAINTEXT or SASL_PLAINTEXT, or name its TLS port",
                )
        except OSError:
            continue
    return None


def _untrusted(address: str, host: str, security: Security, error: ssl.SSLCertVerificationError) -> KafkaRefused:
    if error.verify_code in _HOST_ERRORS:
        return KafkaRefused(
            f"the certificate of Kafka at {address} is not for {host}",
            "name the brokers in FACESTREAM_KAFKA as their certificates do",
        )
    if error.verify_code in _EXPIRED_ERRORS:
        return KafkaRefused(
            f"the certificate of Kafka at {address} is not valid now ({error.verify_message})",
            "renew it, or set this machine's clock right",
        )
    trusted = f"no CA in {security.ca_file}" if security.ca_file else "no CA that this system trusts"
    return KafkaRefused(
        f"{trusted} has signed the certificate of Kafka at {address}",
        "set FACESTREAM_KAFKA_CA_FILE to the file of its CA",
    )


def _speaks_tls(servers: str) -> bool:
    """Whether a broker takes TLS, whatever its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _, host, port in _addresses(servers):
        try:
            with socket.create_connection((host, port), _ASK_S) as plain, context.wrap_socket(plain):
                return True
        except OSError:
            continue
    return False


def _addresses(servers: str) -> Iterator[tuple[str, str, int]]:
    """Each broker as it is named, its host and its port."""
    for address in map(str.strip, servers.split(",")):
        host, colon, port = address.rpartition(":")
        named = bool(colon) and port.isdecimal()
        yield address, (host if named else address).strip("[]"), int(port) if named else _DEFAULT_PORT


def _said(text: str) -> str:
    """What librdkafka says, without the name of the connection before it and the time behind it."""
    return text.partition("/bootstrap: ")[2].partition(" (after")[0] or text
