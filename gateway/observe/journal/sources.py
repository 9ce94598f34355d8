"""Wording of what happens at KMEs and other sources of keys."""

from logging import INFO, WARNING
from typing import Any, Final

from gateway.events.sources import (
    CertificateExpiring,
    CertificateFilesRefused,
    CertificateFilesRenewed,
    KMEFailing,
    KMETaken,
    KMEWorking,
    SimulatedLinkOpened,
)
from gateway.observe.journal.wording import Wording

WORDINGS: Final[tuple[Wording[Any], ...]] = (
    Wording(
        SimulatedLinkOpened,
        "simulated-link",
        WARNING,
        "link {link}: {text}",
    ),
    Wording(
        KMEFailing,
        "",
        WARNING,
        "link {link}: {kme}: fails: {why}",
    ),
    Wording(
        KMEWorking,
        "",
        INFO,
        "link {link}: {kme}: works again",
    ),
    Wording(
        KMETaken,
        "",
        WARNING,
        "link {link}: {kme}: is used now",
    ),
    Wording(
        CertificateFilesRenewed,
        "",
        INFO,
        "link {link}: certificate files were renewed",
    ),
    Wording(
        CertificateFilesRefused,
        "",
        WARNING,
        "link {link}: the renewed certificate files cannot be used, the old ones "
        "stay in use: {why}",
    ),
    Wording(
        CertificateExpiring,
        "",
        WARNING,
        "link {link}: our certificate for the KMEs {ends} on {until}",
        lambda e: {"ends": "expired" if e.is_over else "expires"},
    ),
)
