"""Certificates for tests, good and bad, in the files that a link's settings name."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class Files:
    """A certificate and its key, in files.

    Attributes:
        certificate: PEM.
        private_key: PEM, mode 0600.
    """

    certificate: Path
    private_key: Path


class Authority:
    """A CA.

    Args:
        folder: Where its files go.
        name: Its common name.
    """

    def __init__(self, folder: Path, name: str = "test CA") -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca = folder / "ca.pem"
        made = (
            self._builder(self._name, self._key, timedelta(-1), timedelta(3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca.write_bytes(made.public_bytes(Encoding.PEM))

    def server(
        self,
        stem: str = "kme",
        names: tuple[str, ...] = LOOPBACK,
        *,
        start: timedelta = timedelta(-1),
        end: timedelta = timedelta(365),
    ) -> Files:
        """Issue a KME's certificate; no names leave the common name alone."""
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        return self._issue(stem, stem, names, usage, start, end)

    def client(
        self, sae_id: str, *, stem: str = "", end: timedelta = timedelta(365)
    ) -> Files:
        """Issue an SAE's certificate, with its ID as common name."""
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        stem = stem or sae_id.replace("/", "_")
        return self._issue(stem, sae_id, (), usage, timedelta(-400), end)

    def _issue(
        self,
        stem: str,
        common_name: str,
        names: tuple[str, ...],
        usage: x509.ObjectIdentifier,
        start: timedelta,
        end: timedelta,
    ) -> Files:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = self._builder(subject, key, start, end).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                critical=False,
            )
        made = builder.sign(self._key, hashes.SHA256())
        files = Files(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")
        files.certificate.write_bytes(made.public_bytes(Encoding.PEM))
        write_private(files.private_key, private_pem(key))
        return files

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        start: timedelta,
        end: timedelta,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
        )


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a private key in clear."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    path.write_bytes(content)
    path.chmod(0o600)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
