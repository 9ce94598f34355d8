"""The C structures of linux/xfrm.h, each packed and unpacked in one step.

A `Record` works as a field type of a pyroute2 message: it has `encode_into` and
`decode_from`. In values, addresses are text (``"192.0.2.1"``, ``"2001:db8::1"``)
or 16 bytes; SPIs and ports are numbers in host order.

Records reach from 4-byte to 8-byte alignment; padding is written out as ``x``.
"""

import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any, ClassVar

ADDRESS_SIZE = 16
"""xfrm_address_t is a union of an IPv4 and an IPv6 address."""


@lru_cache(maxsize=1024)
def pack_address(text: str) -> bytes:
    """Return an address as the 16 bytes of xfrm_address_t."""
    return ip_address(text).packed.ljust(ADDRESS_SIZE, b"\0")


def unpack_address(raw: bytes, family: int) -> str:
    """Return the text of an xfrm_address_t of the given address family."""
    if family == AF_INET6:
        return inet_ntop(AF_INET6, raw)
    return inet_ntop(AF_INET, raw[:4])


_TOKEN = re.compile(r"\d*[a-zA-Z]")


def _spread(token: str) -> list[str]:
    """Split ``8Q`` into eight ``Q``, each of which is a field."""
    return [token[-1]] * int(token[:-1] or 1)


class Record:
    """A fixed-size structure, whose value is a mapping of its fields.

    Attributes:
        layout: Struct format, native sizes, padding included, no alignment.
        names: A name for each value of the layout.
        addresses: Which of the names hold an xfrm_address_t.
        nested: Which of the names hold another record, and which.
        big_endian: Which of the names travel in network order, and their sizes.
        defaults: Values of fields that are left out; 0 for all others.
    """

    names: ClassVar[tuple[str, ...]] = ()
    addresses: ClassVar[frozenset[str]] = frozenset()
    nested: ClassVar[Mapping[str, "type[Record]"]] = {}
    big_endian: ClassVar[Mapping[str, int]] = {}
    defaults: ClassVar[Mapping[str, Any]] = {}
    layout: ClassVar[str] = ""
    _struct: ClassVar[struct.Struct]
    _defaults: ClassVar[Mapping[str, Any]]

    def __init_subclass__(cls) -> None:
        cls._struct = struct.Struct("=" + cls.layout)
        cls._defaults = {name: cls._pack_field(name, None) for name in cls.names}

    @classmethod
    def size(cls) -> int:
        """Return the structure's size in bytes."""
        return cls._struct.size

    @classmethod
    def offset_of(cls, name: str) -> int:
        """Return where a field starts, in bytes."""
        offset = 0
        names = iter(cls.names)
        for token in _TOKEN.findall(cls.layout):
            for piece in [token] if token.endswith("s") else _spread(token):
                if not piece.endswith("x") and next(names) == name:
                    return offset
                offset += struct.calcsize("=" + piece)
        raise KeyError(name)

    @classmethod
    def pack(cls, value: Mapping[str, Any] | int) -> bytes:
        """Return the structure's bytes; 0 stands for an empty value."""
        if not isinstance(value, Mapping):
            return cls._struct.pack(*cls._defaults.values())
        values = dict(cls._defaults)
        for name, one in value.items():
            if name not in values:
                raise ValueError(f"{cls.__name__} has no {name}")
            values[name] = cls._pack_field(name, one)
        return cls._struct.pack(*values.values())

    @classmethod
    def _pack_field(cls, name: str, value: Any) -> Any:
        if value is None:
            value = cls.defaults.get(name, 0)
        if name in cls.addresses:
            if isinstance(value, str):
                return pack_address(value)
            return value or bytes(ADDRESS_SIZE)
        if name in cls.nested:
            return cls.nested[name].pack(value)
        if name in cls.big_endian:
            return value.to_bytes(cls.big_endian[name], "big")
        return value

    @classmethod
    def unpack_from(cls, data: bytes | bytearray, offset: int = 0) -> dict[str, Any]:
        """Return the structure that starts at an offset; addresses as 16 bytes."""
        found = dict(zip(cls.names, cls._struct.unpack_from(data, offset), strict=True))
        for name, record in cls.nested.items():
            found[name] = record.unpack_from(found[name])
        for name in cls.big_endian:
            found[name] = int.from_bytes(found[name], "big")
        return found

    @classmethod
    def encode_into(
        cls, data: bytearray, offset: int, value: Mapping[str, Any] | int
    ) -> int:
        """Append to a message under construction (pyroute2's field protocol)."""
        data[offset:] = cls.pack(value)
        return offset + cls._struct.size

    @classmethod
    def decode_from(
        cls, data: bytes | bytearray, offset: int
    ) -> tuple[dict[str, Any], int]:
        """Read from a message at an offset (pyroute2's field protocol)."""
        return cls.unpack_from(data, offset), offset + cls._struct.size


class xfrm_address(Record):
    """xfrm_address_t alone; its value is text or 16 bytes."""

    layout = "16s"
    names = ("address",)

    @classmethod
    def pack(cls, value: Any) -> bytes:
        """Return the address's 16 bytes."""
        if isinstance(value, str):
            return pack_address(value)
        return bytes(value or ADDRESS_SIZE)

    @classmethod
    def unpack_from(cls, data: bytes | bytearray, offset: int = 0) -> Any:
        """Return the address's 16 bytes."""
        return bytes(data[offset : offset + ADDRESS_SIZE])


class xfrm_id(Record):
    """What names an SA: destination, SPI, protocol."""

    layout = "16s4sB3x"
    names = ("daddr", "spi", "proto")
    addresses = frozenset({"daddr"})
    big_endian: ClassVar[Mapping[str, int]] = {"spi": 4}


class xfrm_selector(Record):
    """What packets an SA or a policy is for. Its addresses decode to text."""

    layout = "16s16s2s2s2s2sHBBB3xiI"
    names = (
        "daddr", "saddr", "dport", "dport_mask", "sport", "sport_mask", "family",
        "prefixlen_d", "prefixlen_s", "proto", "ifindex", "user",
    )  # fmt: skip
    addresses = frozenset({"daddr", "saddr"})
    big_endian: ClassVar[Mapping[str, int]] = {
        "dport": 2, "dport_mask": 2, "sport": 2, "sport_mask": 2,
    }  # fmt: skip

    @classmethod
    def unpack_from(cls, data: bytes | bytearray, offset: int = 0) -> dict[str, Any]:
        """Return the selector, its addresses as text."""
        found = super().unpack_from(data, offset)
        for name in cls.addresses:
            found[name] = unpack_address(found[name], found["family"])
        return found


class xfrm_lifetime_cfg(Record):
    """Limits of an SA or policy; what is left out is unlimited."""

    layout = "8Q"
    names = (
        "soft_byte_limit", "hard_byte_limit", "soft_packet_limit",
        "hard_packet_limit", "soft_add_expires_seconds", "hard_add_expires_seconds",
        "soft_use_expires_seconds", "hard_use_expires_seconds",
    )  # fmt: skip
    defaults: ClassVar[Mapping[str, Any]] = dict.fromkeys(names[:4], 2**64 - 1)


class xfrm_lifetime_cur(Record):
    """What an SA or policy has seen so far."""

    layout = "4Q"
    names = ("bytes", "packets", "add_time", "use_time")


class xfrm_stats(Record):
    """Why packets of an SA were dropped."""

    layout = "3I"
    names = ("replay_window", "replay", "integrity_failed")


class xfrm_usersa_info(Record):
    """An SA, less its algorithms."""

    layout = "56s24s16s64s32s12sIIHBBB7x"
    names = (
        "sel", "id", "saddr", "lft", "curlft", "stats", "seq", "reqid", "family",
        "mode", "replay_window", "flags",
    )  # fmt: skip
    addresses = frozenset({"saddr"})
    nested: ClassVar[Mapping[str, type[Record]]] = {
        "sel": xfrm_selector,
        "id": xfrm_id,
        "lft": xfrm_lifetime_cfg,
        "curlft": xfrm_lifetime_cur,
        "stats": xfrm_stats,
    }


class xfrm_usersa_id(Record):
    """What names an SA in a request."""

    layout = "16s4sHBx"
    names = ("daddr", "spi", "family", "proto")
    addresses = frozenset({"daddr"})
    big_endian: ClassVar[Mapping[str, int]] = {"spi": 4}


class xfrm_userpolicy_info(Record):
    """A policy, less its templates."""

    layout = "56s64s32sIIBBBB4x"
    names = (
        "sel", "lft", "curlft", "priority", "index", "dir", "action", "flags", "share",
    )  # fmt: skip
    nested: ClassVar[Mapping[str, type[Record]]] = {
        "sel": xfrm_selector,
        "lft": xfrm_lifetime_cfg,
        "curlft": xfrm_lifetime_cur,
    }


class xfrm_userpolicy_id(Record):
    """What names a policy in a request: its index, or its selector."""

    layout = "56sIB3x"
    names = ("sel", "index", "dir")
    nested: ClassVar[Mapping[str, type[Record]]] = {"sel": xfrm_selector}


class xfrm_user_tmpl(Record):
    """What SA a policy asks for."""

    layout = "24sH2x16sIBBBxIII"
    names = (
        "id", "family", "saddr", "reqid", "mode", "share", "optional",
        "aalgos", "ealgos", "calgos",
    )  # fmt: skip
    addresses = frozenset({"saddr"})
    nested: ClassVar[Mapping[str, type[Record]]] = {"id": xfrm_id}
    defaults: ClassVar[Mapping[str, Any]] = dict.fromkeys(names[-3:], 2**32 - 1)

    @classmethod
    def unpack_from(cls, data: bytes | bytearray, offset: int = 0) -> dict[str, Any]:
        """Return the template, its addresses as text."""
        found = super().unpack_from(data, offset)
        family = found["family"]
        found["saddr"] = unpack_address(found["saddr"], family)
        found["id"]["daddr"] = unpack_address(found["id"]["daddr"], family)
        return found


class xfrm_encap_tmpl(Record):
    """UDP encapsulation of an SA."""

    layout = "H2s2s2x16s"
    names = ("encap_type", "encap_sport", "encap_dport", "encap_oa")
    addresses = frozenset({"encap_oa"})
    big_endian: ClassVar[Mapping[str, int]] = {"encap_sport": 2, "encap_dport": 2}


class xfrm_mark(Record):
    """Value and mask of a packet mark."""

    layout = "II"
    names = ("v", "m")


class xfrm_replay_state(Record):
    """Sequence numbers of 32 bits, with a window of 32 packets."""

    layout = "III"
    names = ("oseq", "seq", "bitmap")


class xfrm_aevent_id(Record):
    """Which SA an asynchronous event is about."""

    layout = "24s16sII"
    names = ("sa_id", "saddr", "flags", "reqid")
    addresses = frozenset({"saddr"})
    nested: ClassVar[Mapping[str, type[Record]]] = {"sa_id": xfrm_usersa_id}


class xfrm_user_migrate(Record):
    """Old and new addresses of an SA."""

    layout = "16s16s16s16sBB2xIHH"
    names = (
        "old_daddr", "old_saddr", "new_daddr", "new_saddr", "proto", "mode",
        "reqid", "old_family", "new_family",
    )  # fmt: skip
    addresses = frozenset({"old_daddr", "old_saddr", "new_daddr", "new_saddr"})


class xfrm_user_kmaddress(Record):
    """Addresses that key exchange should use."""

    layout = "16s16s4xHxx"
    names = ("local", "remote", "family")
    addresses = frozenset({"local", "remote"})


class xfrm_address_filter(Record):
    """Which SAs a dump should contain."""

    layout = "16s16sHBB"
    names = ("saddr", "daddr", "family", "splen", "dplen")
    addresses = frozenset({"saddr", "daddr"})


class xfrm_user_offload(Record):
    """Which device encrypts."""

    layout = "iB3x"
    names = ("ifindex", "flags")


class xfrm_userpolicy_type(Record):
    """Main or sub policy."""

    layout = "BxHBx"
    names = ("type", "reserved1", "reserved2")
