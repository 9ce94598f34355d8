"""Findings of a diagnosis."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

SOON: Final = timedelta(days=30)
"""A certificate that ends within it is worth a warning: a new one takes weeks."""

_MAX_SHOWN = 200


class Grade(StrEnum):
    """How good a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class Step(StrEnum):
    """What was looked at, in this order."""

    FILES = "files"
    """Our certificate, private key, CAs or PSK."""
    IDENTITY = "identity"
    """Whether our certificate says our SAE ID."""
    NAME = "name"
    """The KME's host name."""
    CONNECTION = "connection"
    """TCP."""
    TLS = "tls"
    """Version and cipher."""
    CERTIFICATE = "certificate"
    """The KME's certificate."""
    ACCESS = "access"
    """Whether the KME lets us in, by its status."""
    STATUS = "status"
    """Whether what it says of itself makes sense."""
    LIMITS = "limits"
    """Key sizes, keys per call, keys in stock."""
    DRAW = "draw"
    """One key, which is used up by that."""
    PEER = "peer"
    """The same key at the other end."""


@dataclass(frozen=True, slots=True)
class TrialFinding:
    """One thing found.

    Attributes:
        source: The KME's URL; empty for what concerns all of them.
        step: What was looked at.
        grade: How good it is.
        text: What was found, one line.
        hint: What to do about it; empty if there is nothing to do.
    """

    source: str
    step: Step
    grade: Grade
    text: str
    hint: str = ""


def ok(source: str, step: Step, text: str) -> TrialFinding:
    """Make a good finding."""
    return TrialFinding(source, step, Grade.OK, text)


def warning(source: str, step: Step, text: str, hint: str = "") -> TrialFinding:
    """Make a finding to look after."""
    return TrialFinding(source, step, Grade.WARNING, text, hint)


def failed(source: str, step: Step, text: str, hint: str = "") -> TrialFinding:
    """Make a finding that keeps keys from coming."""
    return TrialFinding(source, step, Grade.FAILED, text, hint)


def shown(text: str) -> str:
    """Return a text from outside as it can be shown: printable and short."""
    line = "".join(c if c.isprintable() else "?" for c in text[:_MAX_SHOWN])
    return line + (" ..." if len(text) > _MAX_SHOWN else "")


def day(moment: datetime) -> str:
    """Write a date."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
