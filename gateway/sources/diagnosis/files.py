"""Our own files: do they fit, how long do they last, do they say our SAE ID."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import quote

from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.config.model import KMEConfig
from gateway.sources.diagnosis.findings import (
    SOON,
    Step,
    TrialFinding,
    day,
    failed,
    ok,
    shown,
    warning,
)
from gateway.sources.http.tls import TLSMaterial

_MAX_NAMES = 8
"""Names of a certificate that are shown."""


def findings_of(
    config: KMEConfig, material: TLSMaterial, now: datetime
) -> Iterator[TrialFinding]:
    """Judge the files of a link that could be read.

    Args:
        config: The link's settings.
        material: What the files gave.
        now: Wall-clock time.
    """
    if material.certificate is None or material.expires is None:
        yield ok("", Step.FILES, f"TLS-PSK, identity {config.psk_identity}")
        return
    yield _end_of(material.certificate, now)
    for authority in material.authorities:
        if authority.not_valid_after_utc <= now:
            yield warning(
                "",
                Step.FILES,
                f"the CA {_subject(authority)} expired on "
                f"{day(authority.not_valid_after_utc)}",
                "no certificate of it is accepted; get the CA's new one",
            )
    if config.sae_id:
        yield _identity(config.sae_id, material.certificate)


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """List the names that a certificate says, those a KME may take for an SAE ID."""
    names: list[str] = []
    for kind in (NameOID.COMMON_NAME, NameOID.SERIAL_NUMBER, NameOID.USER_ID):
        found = certificate.subject.get_attributes_for_oid(kind)
        names += [str(attribute.value) for attribute in found]
    names += [str(name) for name in alternative_names(certificate)]
    return tuple(names)


def alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """List a certificate's subject alternative names."""
    try:
        extension = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    plain = (
        x509.DNSName,
        x509.IPAddress,
        x509.UniformResourceIdentifier,
        x509.RFC822Name,
    )
    return tuple(str(name.value) for name in extension.value if isinstance(name, plain))


def _end_of(certificate: x509.Certificate, now: datetime) -> TrialFinding:
    subject, end = _subject(certificate), certificate.not_valid_after_utc
    start = certificate.not_valid_before_utc
    if end <= now:
        return failed(
            "",
            Step.FILES,
            f"our certificate {subject} expired on {day(end)}",
            "renew it; the clock of this machine says " + day(now),
        )
    if start > now:
        return failed(
            "",
            Step.FILES,
            f"our certificate {subject} is not valid before {day(start)}",
            "check the clock of this machine: it says " + day(now),
        )
    if end - now <= SOON:
        left = max((end - now) // timedelta(days=1), 0)
        return warning(
            "",
            Step.FILES,
            f"our certificate {subject} ends in {left} days, on {day(end)}",
            "renew it; the new files are taken up by themselves",
        )
    return ok("", Step.FILES, f"our certificate {subject} is valid until {day(end)}")


def _identity(sae_id: str, certificate: x509.Certificate) -> TrialFinding:
    names = names_of(certificate)
    tail = ":" + quote(sae_id, safe="")
    serials = {str(certificate.serial_number), f"{certificate.serial_number:x}"}
    is_said = (
        sae_id in names
        or any(name.endswith(tail) for name in names)
        or sae_id.replace(":", "").lower() in serials
    )
    if is_said:
        return ok("", Step.IDENTITY, f"our certificate says our SAE ID, {sae_id}")
    told = ", ".join(shown(name) for name in names[:_MAX_NAMES]) or "no name at all"
    return warning(
        "",
        Step.IDENTITY,
        f"our certificate does not say {sae_id}; it says {told}",
        "KMEs take the SAE ID from common name, alternative names or serial number: "
        "set sae_id to what the KME knows, or get another certificate",
    )


def _subject(certificate: x509.Certificate) -> str:
    return shown(certificate.subject.rfc4514_string()) or "without a subject"
