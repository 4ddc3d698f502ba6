"""Makes a certificate authority for this machine, and certificates of its servers and clients, in PEM."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL_HOSTS = ("localhost", "127.0.0.1")
_DAYS = 3650
_EARLIER = datetime.timedelta(hours=1)
"""A clock elsewhere may be behind."""


class Authority:
    """A certificate authority in a folder; made when it is first used, and kept."""

    def __init__(self, folder: Path, name: str = "facestream local CA") -> None:
        self._folder = folder
        self._name = name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def file(self) -> Path:
        """Its certificate, by which others trust it."""
        path, key_path = self._folder / "ca.pem", self._folder / "ca.key"
        if not (path.exists() and key_path.exists()):
            key = ec.generate_private_key(ec.SECP256R1())
            subject = _name(self._name)
            made = (
                _builder(subject, subject, key.public_key())
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_key_usage(signs=True), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, hashes.SHA256())
            )
            write_secret(key_path, _pem(key))
            path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return path

    def certificate(self, name: str, hosts: Sequence[str] = LOCAL_HOSTS) -> tuple[Path, Path]:
        """The files of a certificate and its key; they are made if they are not there.

        Args:
            name: the common name, and the beginning of the files' names.
            hosts: host names and addresses for which it is valid.
        """
        path, key_path = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        if not (path.exists() and key_path.exists()):
            authority = x509.load_pem_x509_certificate(self.file.read_bytes())
            signing = serialization.load_pem_private_key((self._folder / "ca.key").read_bytes(), password=None)
            assert isinstance(signing, ec.EllipticCurvePrivateKey)
            key = ec.generate_private_key(ec.SECP256R1())
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            made = (
                _builder(_name(name), authority.subject, key.public_key())
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_key_usage(signs=False), critical=True)
                .add_extension(x509.ExtendedKeyUsage(both), critical=False)
                .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
                .sign(signing, hashes.SHA256())
            )
            write_secret(key_path, _pem(key))
            path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return path, key_path


def write_secret(path: Path, secret: bytes) -> None:
    """Write a file that only this user may read."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(secret)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
