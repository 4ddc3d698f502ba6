"""The settings of the connection to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings


class KafkaSettings(BaseSettings):
    """Where the brokers are, who they must be, and as whom to connect; a part of :class:`streams.settings.Settings`."""

    kafka: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, comma separated.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="How to connect: `SSL` and `SASL_SSL` encrypt, `SASL_*` name a user. See `security.md`.",
    )
    kafka_ca_file: Path | None = Field(
        None,
        description="PEM file with the CAs that may have signed the brokers' certificates; unset: those that the "
        "system trusts.",
    )
    kafka_certificate_file: Path | None = Field(
        None, description="PEM file with this client's certificate, where the brokers ask for one (mutual TLS)."
    )
    kafka_key_file: Path | None = Field(None, description="PEM file with the private key of that certificate.")
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="How a user proves who it is, with `SASL_*`."
    )
    kafka_username: str | None = Field(None, description="User of `PLAIN` and `SCRAM-*`.")
    kafka_password_file: Path | None = Field(
        None, description="File with the user's password. It is read at the start of each process."
    )
    kafka_password: str | None = Field(
        None,
        description="The password itself, which `docker inspect` and the like show: rather use the file.",
        repr=False,
        exclude=True,
    )
    kafka_token_file: Path | None = Field(
        None,
        description="File with the token of `OAUTHBEARER`, which another program keeps fresh; it is read again shortly "
        "before the token ends.",
    )

    @field_validator(
        *("kafka_ca_file", "kafka_certificate_file", "kafka_key_file", "kafka_username"),
        *("kafka_password_file", "kafka_password", "kafka_token_file"),
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        """Manifests often set what they leave open to nothing."""
        return None if value == "" else value
