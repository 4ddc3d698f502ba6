"""TLS, users and ACLs of the local broker: its settings, its certificates, and the passwords, made on the spot."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.certificates import Authority, write_secret

BROKER = "broker"
ADMIN = "admin"
"""May do everything; the others only what ACLs allow."""
MECHANISM = "SCRAM-SHA-512"
_PASSWORD_BYTES = 24
_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"


class BrokerSecurity:
    """What secures the broker of a folder; certificates and passwords are kept there, readable only by this user."""

    def __init__(self, folder: Path, more: Mapping[str, str] | None = None) -> None:
        """Nothing is written yet.

        Args:
            folder: for certificates and passwords.
            more: settings of Kafka that go before the others.
        """
        self.folder = folder
        self._more = dict(more or {})
        self.authority = Authority(folder)

    @property
    def ca_file(self) -> Path:
        """The certificate by which clients trust the broker."""
        return self.authority.file

    def password_file(self, user: str) -> Path:
        """The file with a user's password, which is made when it is first asked for."""
        path = self.folder / f"{user}.password"
        if not path.exists():
            write_secret(path, f"{secrets.token_urlsafe(_PASSWORD_BYTES)}\n".encode())
        return path

    def password(self, user: str) -> str:
        """A user's password."""
        return self.password_file(user).read_text("utf-8").strip()

    def settings(self, user: str = ADMIN) -> dict[str, Any]:
        """The settings of facestream with which to connect as this user."""
        return {
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ca_file": str(self.ca_file),
            "kafka_sasl_mechanism": MECHANISM,
            "kafka_username": user,
            "kafka_password_file": str(self.password_file(user)),
        }

    def client_options(self) -> dict[str, Any]:
        """librdkafka's options with which to connect as the administrator."""
        return {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.ca_file),
            "sasl.mechanism": MECHANISM,
            "sasl.username": ADMIN,
            "sasl.password": self.password(ADMIN),
        }

    def first_users(self) -> list[str]:
        """Options of ``StorageTool format`` that add the users whom the broker needs before anybody can connect."""
        return [
            option
            for user in (BROKER, ADMIN)
            for option in ("--add-scram", f"{MECHANISM}=[name={user},password={self.password(user)}]")
        ]

    def properties(self) -> dict[str, str]:
        """Kafka's settings. Java reads them as Latin-1 with backslash escapes, so paths are written with escapes."""
        certificate, key = self.authority.certificate(BROKER)
        store = self.folder / f"{BROKER}.store.pem"
        write_secret(store, key.read_bytes() + certificate.read_bytes())
        return {
            "listener.security.protocol.map": "BROKER:SASL_SSL,CONTROLLER:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": _escaped(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": _escaped(self.ca_file),
            "listener.name.controller.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            f"listener.name.broker.{MECHANISM.lower()}.sasl.jaas.config": f'{_LOGIN} required username="{BROKER}" '
            f'password="{self.password(BROKER)}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:CN={BROKER};User:{BROKER};User:{ADMIN}",
        } | self._more


def _escaped(path: Path) -> str:
    """A path in a file that Java reads as properties, whose escapes are those of JSON."""
    return json.dumps(str(path.absolute()))[1:-1]
