"""Says in time that a certificate is about to end."""

import datetime
import logging
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.kme.settings import KMESettings
from gateway.kme.tls import MAX_PEM_SIZE

WARN_DAYS: Final = 30
"""Days before its end from which a certificate is warned of."""

_log = logging.getLogger(__name__)


def warn_of_expiry(settings: KMESettings) -> None:
    """Log each of the KME's own certificates and CAs that ends soon, or has."""
    now = datetime.datetime.now(datetime.UTC)
    for path in (settings.certificate, settings.ca):
        for end in ends_of(path):
            days = (end - now).days
            if days < 0:
                _log.error("%s: a certificate in it has ended (%s)", path, end.date())
            elif days < WARN_DAYS:
                _log.warning("%s: a certificate in it ends in %d days", path, days)


def ends_of(path: Path) -> list[datetime.datetime]:
    """Return when each certificate of a PEM file ends; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_PEM_SIZE)
        return [
            each.not_valid_after_utc for each in x509.load_pem_x509_certificates(pem)
        ]
    except (OSError, ValueError):
        # TLS has said so already, or will.
        return []
