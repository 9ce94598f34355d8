"""A laboratory PKI: a CA, certificates for both KMEs and for the SAEs.

For demonstrations, tests and the time before a bank's own PKI is connected: the CA's
private key lies in a file. What it issues follows RFC 5280 as OpenSSL's strict mode and
Python 3.13 ask for it: key identifiers, critical constraints, names in the SAN.

An SAE's certificate has its SAE ID as common name, and once more as the URI
``sae:ID`` (percent-encoded) in the SAN; a KME's has its KME ID as common name, and its
host names and addresses in the SAN.
"""

import datetime
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.config.private_files import PRIVATE_MODE, write_new_file
from gateway.errors import IdentityError, KMEError

DEFAULT_DAYS: Final = 365
"""How long the certificates of a laboratory last."""

CLOCK_SKEW: Final = datetime.timedelta(hours=1)
"""Certificates begin this much earlier, for machines whose clocks are behind."""

MAX_COMMON_NAME: Final = 64
"""Characters (RFC 5280, ub-common-name)."""

SAE_URI: Final = "sae:"
"""Scheme of the URI that repeats an SAE's ID in its certificate."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files with which one end of TLS shows who it is.

    Attributes:
        certificate: PEM file.
        private_key: PEM file, mode 0600.
        ca: PEM file with the CA to check the other end against.
    """

    certificate: Path
    private_key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class LaboratoryPKI:
    """What `make_laboratory_pki` made.

    Attributes:
        authority: The CA, to issue more.
        kmes: Of the KMEs, by KME ID.
        saes: Of the SAEs, by SAE ID.
    """

    authority: "LaboratoryCA"
    kmes: Mapping[str, TlsFiles] = field(default_factory=dict)
    saes: Mapping[str, TlsFiles] = field(default_factory=dict)

    @property
    def ca(self) -> Path:
        """The CA's certificate, PEM."""
        return self.authority.certificate


class LaboratoryCA:
    """A CA whose private key is held in memory, and in a file beside its certificate.

    Args:
        folder: Where files are written; must be there.
        name: Common name of the CA.
        days: How long it lasts.

    Raises:
        KMEError: A file is there already, or cannot be written.
    """

    def __init__(
        self, folder: Path, *, name: str = "qgw laboratory CA", days: int = DEFAULT_DAYS
    ) -> None:
        self.certificate = folder / "ca.pem"
        self._folder = folder
        self._days = days
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key(), days)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ).add_extension(_key_usage(is_ca=True), critical=True)
        made = builder.sign(self._key, hashes.SHA256())
        _write(folder / "ca.key", _private_pem(self._key))
        _write(self.certificate, made.public_bytes(serialization.Encoding.PEM))

    def issue_kme(
        self,
        kme_id: str,
        hosts: Sequence[str],
        *,
        folder: Path | None = None,
        days: int | None = None,
    ) -> TlsFiles:
        """Issue a KME's certificate, for its server and for calls to its peer.

        Args:
            kme_id: Common name.
            hosts: DNS names and IP addresses that clients call it by.
            folder: Where the files go; the CA's own by default.
            days: How long it lasts; a negative number makes one that has expired.
        """
        names = [_general_name(host) for host in hosts]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._issue(kme_id, names, usages, folder, days)

    def issue_sae(
        self,
        sae_id: str,
        *,
        uri: str | None = None,
        folder: Path | None = None,
        days: int | None = None,
    ) -> TlsFiles:
        """Issue an SAE's client certificate.

        Args:
            sae_id: Common name.
            uri: What its URI says, for tests of those that contradict the common name.
            folder: Where the files go; the CA's own by default.
            days: How long it lasts; a negative number makes one that has expired.
        """
        name = x509.UniformResourceIdentifier(uri or SAE_URI + quote(sae_id, safe=""))
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._issue(sae_id, [name], usages, folder, days)

    def _issue(
        self,
        name: str,
        names: Sequence[x509.GeneralName],
        usages: Sequence[x509.ObjectIdentifier],
        folder: Path | None,
        days: int | None,
    ) -> TlsFiles:
        if not 0 < len(name) <= MAX_COMMON_NAME:
            raise KMEError(
                f"an ID of {len(name)} characters fits no common name",
                f"choose one of 1 to {MAX_COMMON_NAME} characters",
            )
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(
            subject, key.public_key(), self._days if days is None else days
        )
        builder = (
            builder.add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            .add_extension(_key_usage(is_ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        made = builder.sign(self._key, hashes.SHA256())
        place = folder or self._folder
        stem = quote(name, safe="")
        credentials = TlsFiles(
            place / f"{stem}.pem", place / f"{stem}.key", self.certificate
        )
        _write(credentials.private_key, _private_pem(key))
        _write(credentials.certificate, made.public_bytes(serialization.Encoding.PEM))
        return credentials

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        end = now + datetime.timedelta(days=days)
        issuer = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - CLOCK_SKEW)
            .not_valid_after(end)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer),
                critical=False,
            )
        )


def make_laboratory_pki(
    folder: Path,
    *,
    kmes: Mapping[str, Sequence[str]],
    saes: Sequence[str],
    days: int = DEFAULT_DAYS,
) -> LaboratoryPKI:
    """Make a CA, and certificates for KMEs and SAEs, all in one folder, mode 0600.

    Args:
        folder: Where; made if it is not there, mode 0700.
        kmes: Host names and addresses of each KME, by KME ID.
        saes: SAE IDs.
        days: How long everything lasts.

    Raises:
        KMEError: A file is there already, or cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = LaboratoryCA(folder, days=days)
    return LaboratoryPKI(
        authority,
        {kme_id: authority.issue_kme(kme_id, hosts) for kme_id, hosts in kmes.items()},
        {sae_id: authority.issue_sae(sae_id) for sae_id in saes},
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise KMEError(
            f"{host!r} is no host name",
            "write names in letters, digits, dashes and dots (IDNA encoded)",
        ) from None


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    try:
        write_new_file(path, content, PRIVATE_MODE)
    except IdentityError as error:
        refused = KMEError(error.message, error.hint)
    else:
        return
    # Raised outside `except`, so that no traceback drags the content along.
    raise refused
