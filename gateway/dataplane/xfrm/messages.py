"""The XFRM messages as pyroute2 classes.

A message is built with `build`, which fills in header, fields and attributes, and
is encoded by pyroute2. `record_at` reads one record out of a received message
without decoding the rest, for those who ask often.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST, nlmsg

from gateway.dataplane.xfrm import constants as c
from gateway.dataplane.xfrm import structs
from gateway.dataplane.xfrm.attributes import xfrm_attributes

HEADER_SIZE = 16
"""Bytes of struct nlmsghdr."""

NLMSG_ALIGNMENT = 4
"""Bytes to whose multiple a message's record and each attribute are padded."""


class xfrm_message(xfrm_attributes, nlmsg):
    """Base of all XFRM messages: one record, then attributes."""

    def decode(self) -> None:
        """Decode, and turn addresses into text where the family is known."""
        super().decode()
        family = self.get("family")
        for name, kind in self.fields:
            record = self[name]
            if isinstance(record, dict):
                _name_addresses(kind, record, record.get("family", family))


class usersa_msg(xfrm_message):
    """NEWSA, UPDSA; what GETSA answers."""

    fields = (("info", structs.xfrm_usersa_info),)


class usersa_id_msg(xfrm_message):
    """DELSA, GETSA of one."""

    fields = (("info", structs.xfrm_usersa_id),)


class userspi_msg(xfrm_message):
    """ALLOCSPI."""

    fields = (
        ("info", structs.xfrm_usersa_info),
        ("min", "I"),
        ("max", "I"),
    )


class usersa_flush_msg(xfrm_message):
    """FLUSHSA: all SAs of one protocol."""

    fields = (("proto", "B"),)


class userpolicy_msg(xfrm_message):
    """NEWPOLICY, UPDPOLICY; what GETPOLICY answers."""

    fields = (("info", structs.xfrm_userpolicy_info),)


class userpolicy_id_msg(xfrm_message):
    """DELPOLICY, GETPOLICY of one; MIGRATE."""

    fields = (("info", structs.xfrm_userpolicy_id),)


class aevent_msg(xfrm_message):
    """NEWAE, GETAE."""

    fields = (("info", structs.xfrm_aevent_id),)


class acquire_msg(xfrm_message):
    """ACQUIRE: the kernel asks for an SA."""

    fields = (
        ("id", structs.xfrm_id),
        ("saddr", structs.xfrm_address),
        ("sel", structs.xfrm_selector),
        ("policy", structs.xfrm_userpolicy_info),
        ("aalgos", "I"),
        ("ealgos", "I"),
        ("calgos", "I"),
        ("seq", "I"),
    )


class expire_msg(xfrm_message):
    """EXPIRE: an SA reached a limit."""

    fields = (("info", structs.xfrm_usersa_info), ("hard", "B"), ("_pad", "7x"))


class polexpire_msg(xfrm_message):
    """POLEXPIRE: a policy reached a limit."""

    fields = (("info", structs.xfrm_userpolicy_info), ("hard", "B"), ("_pad", "7x"))


class mapping_msg(xfrm_message):
    """MAPPING: a peer behind NAT sends from another address."""

    fields = (
        ("id", structs.xfrm_usersa_id),
        ("reqid", "I"),
        ("old_saddr", structs.xfrm_address),
        ("new_saddr", structs.xfrm_address),
        ("old_sport", ">H"),
        ("new_sport", ">H"),
    )


class empty_msg(xfrm_message):
    """FLUSHPOLICY."""

    fields = ()


class default_policy_msg(xfrm_message):
    """SETDEFAULT, GETDEFAULT: what happens to packets that no policy matches."""

    fields = (("in", "B"), ("fwd", "B"), ("out", "B"))


MESSAGE_CLASSES: Mapping[int, type[xfrm_message]] = {
    c.XFRM_MSG_NEWSA: usersa_msg,
    c.XFRM_MSG_UPDSA: usersa_msg,
    c.XFRM_MSG_DELSA: usersa_id_msg,
    c.XFRM_MSG_GETSA: usersa_id_msg,
    c.XFRM_MSG_NEWPOLICY: userpolicy_msg,
    c.XFRM_MSG_UPDPOLICY: userpolicy_msg,
    c.XFRM_MSG_DELPOLICY: userpolicy_id_msg,
    c.XFRM_MSG_GETPOLICY: userpolicy_id_msg,
    c.XFRM_MSG_MIGRATE: userpolicy_id_msg,
    c.XFRM_MSG_ALLOCSPI: userspi_msg,
    c.XFRM_MSG_FLUSHSA: usersa_flush_msg,
    c.XFRM_MSG_FLUSHPOLICY: empty_msg,
    c.XFRM_MSG_NEWAE: aevent_msg,
    c.XFRM_MSG_GETAE: aevent_msg,
    c.XFRM_MSG_ACQUIRE: acquire_msg,
    c.XFRM_MSG_EXPIRE: expire_msg,
    c.XFRM_MSG_POLEXPIRE: polexpire_msg,
    c.XFRM_MSG_MAPPING: mapping_msg,
    c.XFRM_MSG_SETDEFAULT: default_policy_msg,
    c.XFRM_MSG_GETDEFAULT: default_policy_msg,
}
"""The class of each message type's requests and notifications."""


def build(
    message_type: int,
    fields: Mapping[str, Any],
    attributes: Mapping[str, Any] | None = None,
    *,
    flags: int = NLM_F_ACK,
) -> bytearray:
    """Return a request's encoded bytes, sequence number 0.

    They are what `encode_message` returns, in a third of the time: a rotation builds
    six of them.

    Args:
        message_type: XFRM_MSG_...
        fields: The message's fields by name.
        attributes: Attributes by name, ``{"XFRMA_IF_ID": 7}``.
        flags: NLM_F_... in addition to NLM_F_REQUEST.
    """
    encoded = bytearray(HEADER_SIZE)
    for name, kind in MESSAGE_CLASSES[message_type].fields:
        if not isinstance(kind, str):
            encoded += kind.pack(fields.get(name, 0))
        elif kind.endswith("x"):
            encoded += struct.pack(_native(kind))
        else:
            encoded += struct.pack(_native(kind), fields.get(name, 0))
    length = len(encoded)
    _pad(encoded)
    for name, value in (attributes or {}).items():
        number, pack = _PACKERS[name]
        payload = pack(value)
        encoded += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), number)
        encoded += payload
        _pad(encoded)
        length = len(encoded)
    _HEADER.pack_into(encoded, 0, length, message_type, NLM_F_REQUEST | flags)
    return encoded


def encode_message(
    message_type: int,
    fields: Mapping[str, Any],
    attributes: Mapping[str, Any] | None = None,
    *,
    flags: int = NLM_F_ACK,
) -> bytearray:
    """Return the same by pyroute2's own means."""
    message = MESSAGE_CLASSES[message_type]()
    message["header"].update(type=message_type, flags=NLM_F_REQUEST | flags)
    message.update(fields)
    message["attrs"] = list((attributes or {}).items())
    message.encode()
    encoded: bytearray = message.data
    return encoded


_HEADER = struct.Struct("=IHH")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBERS = {"uint8": "=B", "uint32": "=I", "uint64": "=Q"}


def _packer(kind: str) -> Callable[[Any], bytes]:
    """Return what packs the value of an attribute of a kind."""
    if kind == "none":
        return lambda _: b""
    if kind in _NUMBERS:
        return struct.Struct(_NUMBERS[kind]).pack
    packer: Callable[[Any], bytes] = getattr(xfrm_attributes, kind)().pack
    return packer


_PACKERS = {
    name: (number, _packer(kind))
    for number, (name, kind) in enumerate(xfrm_attributes.nla_map)
}
"""Number and packer of each attribute."""


def _native(layout: str) -> str:
    return layout if layout.startswith((">", "<", "=")) else "=" + layout


def _pad(encoded: bytearray) -> None:
    encoded.extend(bytes(-len(encoded) % NLMSG_ALIGNMENT))


def record_at(
    record: type[structs.Record], data: bytes | bytearray, *path: str
) -> Mapping[str, Any]:
    """Read one nested record of a received message's first field, and no more.

    Args:
        record: The class of the message's first field.
        data: The message, header included.
        path: Names of nested records, outermost first.
    """
    offset = HEADER_SIZE
    for name in path:
        offset += record.offset_of(name)
        record = record.nested[name]
    return record.unpack_from(data, offset)


def parse_message(data: bytes | bytearray) -> xfrm_message:
    """Decode one whole message."""
    (message_type,) = struct.unpack_from("=H", data, 4)
    message = MESSAGE_CLASSES[message_type](data)
    message.decode()
    return message


def _name_addresses(
    kind: type[structs.Record], record: dict[str, Any], family: int | None
) -> None:
    if family is None:
        return
    for name in kind.addresses:
        if isinstance(record[name], bytes):
            record[name] = structs.unpack_address(record[name], family)
    for name, nested in kind.nested.items():
        _name_addresses(nested, record[name], record[name].get("family", family))
