"""What a session identifier on the wire can name."""


class Holder:
    """Base of handshakes and sessions: whoever an incoming identifier leads to."""

    __slots__ = ()
