"""How the settings of a connection are read, without a broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.certificates import Authority
from schemas.errors import FacestreamError
from streams.kafka.security import InvalidKafkaSecurity, Security
from streams.settings import Settings

SASL = {"kafka_security_protocol": "SASL_SSL", "kafka_username": "anna"}


def read(**settings: Any) -> Security:
    return Security.of(Settings(**settings))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"kafka_username": "anna"},
            "FACESTREAM_KAFKA_USERNAME is set, but FACESTREAM_KAFKA_SECURITY_PROTOCOL is PLAIN",
        ),
        ({"kafka_ca_file": "ca.pem", "kafka_security_protocol": "SASL_PLAINTEXT"}, "FACESTREAM_KAFKA_CA_FILE is set"),
        (SASL, "SASL_SSL with SCRAM-SHA-512 needs FACESTREAM_KAFKA_USERNAME and FACESTREAM_KAFKA_PASSWORD_FILE"),
        ({**SASL, "kafka_password_file": "none"}, "FACESTREAM_KAFKA_PASSWORD_FILE=none cannot be read: No such file"),
        ({**SASL, "kafka_sasl_mechanism": "OAUTHBEARER"}, "OAUTHBEARER needs FACESTREAM_KAFKA_TOKEN_FILE"),
        ({"kafka_security_protocol": "SSL", "kafka_ca_file": "none"}, "FACESTREAM_KAFKA_CA_FILE=none cannot be read"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(FacestreamError, match=said):
        read(**settings)


def test_a_file_without_a_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(InvalidKafkaSecurity, match=r"FACESTREAM_KAFKA_CA_FILE=.*ca\.pem holds no certificate"):
        read(kafka_security_protocol="SSL", kafka_ca_file=tmp_path / "ca.pem").ssl_context()
    authority = Authority(tmp_path / "authority")
    certificate, _ = authority.certificate("one")
    only = {"kafka_security_protocol": "SSL", "kafka_certificate_file": certificate}
    with pytest.raises(InvalidKafkaSecurity, match="belong together: only one is set"):
        read(**only)
    with pytest.raises(InvalidKafkaSecurity, match="are no certificate and its key"):
        read(**only, kafka_key_file=authority.certificate("two")[1]).ssl_context()


def test_a_password_is_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pass-word\n")
    found = read(**SASL, kafka_password_file=tmp_path / "password")
    assert found.confluent_options()["sasl.password"] == "pass-word"
    given = Settings(**SASL, kafka_password="pass-word")
    assert "pass-word" not in repr(found) + repr(given) + given.model_dump_json()
