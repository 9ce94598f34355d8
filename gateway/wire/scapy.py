"""Scapy layers for the wire format, to look at a capture or to craft an attack.

Nothing of the daemon imports this: it costs a second and a hundred megabytes. What
is encrypted stays bytes. Layouts are those of `gateway.wire.header`.
"""

from typing import ClassVar, Final

from scapy.fields import (
    AnyField,
    ByteEnumField,
    ByteField,
    LongField,
    StrField,
    XIntField,
    XStrFixedLenField,
)
from scapy.layers.inet import UDP
from scapy.packet import Packet, bind_layers, split_layers

from gateway.crypto.aead import TAG_SIZE
from gateway.crypto.kdf import MAC_SIZE
from gateway.wire.header import (
    COOKIE_SALT_SIZE,
    COOKIE_SIZE,
    ID_SIZE,
    MARKER,
    VERSION,
    Type,
)

PORT: Final = 51810
"""Where `bind_port` looks for this protocol unless told otherwise."""

_Fields = list[AnyField]


class _RestField(StrField):
    """Everything up to a trailer of fixed size, which later fields take."""

    __slots__ = ("trailer",)

    def __init__(self, name: str, trailer: int) -> None:
        super().__init__(name, b"")
        self.trailer = trailer

    def getfield(
        self,
        pkt: Packet,  # noqa: ARG002  # as Scapy calls it
        s: bytes,
    ) -> tuple[bytes, bytes]:
        """Take all but the trailer; a datagram too short for one gives nothing."""
        size = max(len(s) - self.trailer, 0)
        return s[size:], s[:size]


class QGW(Packet):
    """The header of every datagram."""

    name = "QGW"
    fields_desc: ClassVar[_Fields] = [
        XIntField("marker", int.from_bytes(MARKER)),
        ByteField("version", VERSION),
        ByteEnumField("type", Type.CONTROL, {int(t): t.name.lower() for t in Type}),
        ByteField("index", 0),
        ByteField("count", 1),
        XStrFixedLenField("session_id", bytes(ID_SIZE), ID_SIZE),
    ]


class _Body(Packet):
    """What follows a header; nothing follows it."""

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        """Leave no payload: what is over is padding, kept when built again."""
        return b"", s


class Initiation(_Body):
    """One fragment of M1."""

    name = "Initiation"
    fields_desc: ClassVar[_Fields] = [
        _RestField("body", 2 * MAC_SIZE),
        XStrFixedLenField("mac1", bytes(MAC_SIZE), MAC_SIZE),
        XStrFixedLenField("mac2", bytes(MAC_SIZE), MAC_SIZE),
    ]


class Response(_Body):
    """One fragment of M2."""

    name = "Response"
    fields_desc: ClassVar[_Fields] = [
        _RestField("body", MAC_SIZE),
        XStrFixedLenField("mac1", bytes(MAC_SIZE), MAC_SIZE),
    ]


class Commit(_Body):
    """M3."""

    name = "Commit"
    fields_desc: ClassVar[_Fields] = [
        XStrFixedLenField("tag", bytes(TAG_SIZE), TAG_SIZE),
    ]


class Committed(_Body):
    """M4."""

    name = "Committed"
    fields_desc: ClassVar[_Fields] = [
        XStrFixedLenField("tag", bytes(TAG_SIZE), TAG_SIZE),
    ]


class CookieReply(_Body):
    """A cookie, sealed."""

    name = "CookieReply"
    fields_desc: ClassVar[_Fields] = [
        XStrFixedLenField("salt", bytes(COOKIE_SALT_SIZE), COOKIE_SALT_SIZE),
        XStrFixedLenField("cookie", bytes(COOKIE_SIZE), COOKIE_SIZE),
        XStrFixedLenField("tag", bytes(TAG_SIZE), TAG_SIZE),
    ]


class Control(_Body):
    """A control message, sealed."""

    name = "Control"
    fields_desc: ClassVar[_Fields] = [
        LongField("counter", 0),
        _RestField("sealed", TAG_SIZE),
        XStrFixedLenField("tag", bytes(TAG_SIZE), TAG_SIZE),
    ]


LAYERS: Final[dict[Type, type[Packet]]] = {
    Type.INITIATION: Initiation,
    Type.RESPONSE: Response,
    Type.COMMIT: Commit,
    Type.COMMITTED: Committed,
    Type.COOKIE_REPLY: CookieReply,
    Type.CONTROL: Control,
}

for _type, _layer in LAYERS.items():
    bind_layers(QGW, _layer, type=int(_type))


def bind_port(port: int = PORT) -> None:
    """Dissect UDP to or from this port as QGW from now on."""
    bind_layers(UDP, QGW, dport=port)
    bind_layers(UDP, QGW, sport=port)


def release_port(port: int = PORT) -> None:
    """Undo `bind_port`."""
    split_layers(UDP, QGW, dport=port)
    split_layers(UDP, QGW, sport=port)
