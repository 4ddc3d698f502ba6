"""Which settings a connection to Kafka needs, whoever keeps them: a worker's or a client's."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class ConnectionSettings(Protocol):
    """The brokers, and how a client proves who it is and checks who they are."""

    @property
    def kafka(self) -> str:
        """Bootstrap servers, comma separated."""

    @property
    def kafka_security_protocol(self) -> str:
        """One of Kafka's: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``."""

    @property
    def kafka_ca_file(self) -> Path | str | None:
        """PEM file of the CAs that may have signed the brokers' certificates; None: those that the system trusts."""

    @property
    def kafka_certificate_file(self) -> Path | str | None:
        """PEM file of the client's certificate."""

    @property
    def kafka_key_file(self) -> Path | str | None:
        """PEM file of its private key."""

    @property
    def kafka_sasl_mechanism(self) -> str:
        """``PLAIN``, ``SCRAM-SHA-256``, ``SCRAM-SHA-512`` or ``OAUTHBEARER``."""

    @property
    def kafka_username(self) -> str | None:
        """The user of the first three."""

    @property
    def kafka_password(self) -> str | None:
        """The user's password; rather have it in a file."""

    @property
    def kafka_password_file(self) -> Path | str | None:
        """The file with the user's password."""

    @property
    def kafka_token_file(self) -> Path | str | None:
        """The file with the present token of ``OAUTHBEARER``."""


class ClusterSettings(ConnectionSettings, Protocol):
    """The cluster, what is put before the names of its topics, and how large a message may be."""

    @property
    def topic_prefix(self) -> str:
        """What stands before every topic name and consumer group."""

    @property
    def max_message_bytes(self) -> int:
        """The largest message of a topic with events."""
