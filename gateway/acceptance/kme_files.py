"""Trial of the files for speaking with KMEs: CA, certificate, private key, PSK."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from gateway.config.model import KMEConfig
from gateway.sources.http.certificates import load_ca, load_client_certificate
from gateway.sources.http.tls import load_tls
from gateway.sources.http.tls_psk import load_psk
from gateway.sources.http.trouble import Trouble

T = TypeVar("T")

EXPIRY_WARNING: Final = timedelta(days=30)
"""A month to order a new certificate in; the daemon warns as early."""

Note = Callable[[str, str, str], None]
"""Notes something about a key of the link: key, what was expected, what was found."""


class KMEFileChecks:
    """The checks of one link's files.

    Args:
        kme: Names them.
        now: The time that certificates are judged by.
        refuse: Takes what keeps the link from working.
        warn: Takes what will.
    """

    def __init__(
        self, kme: KMEConfig, now: datetime, *, refuse: Note, warn: Note
    ) -> None:
        self._kme = kme
        self._now = now
        self._refuse_at = refuse
        self._warn_at = warn
        self._is_right = True

    def run(self) -> None:
        """Try every file, and then whether they make a TLS context together."""
        kme = self._kme
        if kme.psk_file is not None:
            psk = kme.psk_file
            self._try("psk_file", "a TLS-PSK file", lambda: load_psk(psk))
        if kme.ca is not None:
            self._check_authorities(kme.ca)
        if kme.certificate is not None:
            self._check_certificate(kme.certificate, kme.private_key)
        if self._is_right:
            key = "certificate" if kme.psk_file is None else "psk_file"
            self._try(key, "what TLS can use", lambda: load_tls(kme))

    def _check_authorities(self, path: Path) -> None:
        found = self._try("ca", "a PEM file of CAs", lambda: load_ca(path)) or ()
        # One that has ended does no harm while another stands beside it.
        ends = max((one.not_valid_after_utc for one in found), default=None)
        if ends is not None:
            self._check_end("ca", "a CA", ends)

    def _check_certificate(self, path: Path, private_key: Path | None) -> None:
        chain = self._try(
            "certificate", "a certificate in PEM form", lambda: load_ca(path)
        )
        if not chain:
            return
        ours = chain[0]
        begins = ours.not_valid_before_utc
        if begins > self._now:
            found = f"one that begins on {_date(begins)}"
            self._refuse("certificate", "a certificate valid now", found)
        self._check_end("certificate", "a certificate", ours.not_valid_after_utc)
        if private_key is not None:
            self._try(
                "private_key",
                "the private key of certificate, mode 0600",
                lambda: load_client_certificate(path, private_key),
            )

    def _check_end(self, key: str, what: str, ends: datetime) -> None:
        if ends <= self._now:
            self._refuse(key, f"{what} valid now", f"one that ended on {_date(ends)}")
        elif ends <= self._now + EXPIRY_WARNING:
            days = EXPIRY_WARNING.days
            found = f"one that ends on {_date(ends)}"
            self._warn_at(key, f"{what} valid for {days} days more", found)

    def _try(self, key: str, expected: str, load: Callable[[], T]) -> T | None:
        try:
            return load()
        except Trouble as trouble:
            hint = f" ({trouble.hint})" if trouble.hint else ""
            self._refuse(key, expected, f"{trouble.message}{hint}")
            return None

    def _refuse(self, key: str, expected: str, found: str) -> None:
        self._is_right = False
        self._refuse_at(key, expected, found)


def _date(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
