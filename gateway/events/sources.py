"""Facts of KMEs and other sources of keys."""

from dataclasses import dataclass

from gateway.events.bus import Event


@dataclass(frozen=True, slots=True)
class CertificateFilesRenewed(Event):
    """Renewed certificate files of a link are in use.

    Attributes:
        link: Its name.
    """

    link: str


@dataclass(frozen=True, slots=True)
class CertificateFilesRefused(Event):
    """Renewed certificate files of a link cannot be used; the old ones stay in use.

    Attributes:
        link: Its name.
        why: What is wrong with them.
    """

    link: str
    why: str


@dataclass(frozen=True, slots=True)
class CertificateExpiring(Event):
    """Our certificate for the KMEs of a link ends soon, or has ended.

    Attributes:
        link: Its name.
        until: UTC, to the minute.
        is_over: Whether it has ended.
    """

    link: str
    until: str
    is_over: bool


@dataclass(frozen=True, slots=True)
class SimulatedLinkOpened(Event):
    """A link is simulated: its keys are no quantum keys.

    Attributes:
        link: Its name.
        text: What makes its keys.
    """

    link: str
    text: str


@dataclass(frozen=True, slots=True)
class KMEFailing(Event):
    """A KME of a link that has several began to fail.

    Attributes:
        link: Its name.
        kme: The KME.
        why: What it says.
    """

    link: str
    kme: str
    why: str


@dataclass(frozen=True, slots=True)
class KMEWorking(Event):
    """A KME of a link that has several works again.

    Attributes:
        link: Its name.
        kme: The KME.
    """

    link: str
    kme: str


@dataclass(frozen=True, slots=True)
class KMETaken(Event):
    """Another KME of a link is used from now on.

    Attributes:
        link: Its name.
        kme: The KME.
    """

    link: str
    kme: str
