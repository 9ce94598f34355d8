"""Holders of session identifiers on the wire."""


class Holder:
    """Base of handshakes and sessions: whoever an incoming identifier leads to."""

    __slots__ = ()
