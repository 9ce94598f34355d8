"""Parts of rules: each function returns one expression, encoded."""

import struct

from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft.attributes import (
    attribute,
    nested,
    number,
    text,
)


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(
        c.NFTA_LIST_ELEM, text(c.NFTA_EXPR_NAME, name), nested(c.NFTA_EXPR_DATA, *parts)
    )


def meta(key: int, register: int = c.NFT_REG_1) -> bytes:
    """Load what is known of a packet beside its bytes, by NFT_META_ key."""
    return _expression("meta", number(2, key), number(1, register))


def payload(base: int, offset: int, size: int) -> bytes:
    """Load bytes of a packet, counted from the header of a layer."""
    return _expression(
        "payload",
        number(1, c.NFT_REG_1),
        number(2, base),
        number(3, offset),
        number(4, size),
    )


def xfrm_reqid(direction: int, register: int = c.NFT_REG_1) -> bytes:
    """Load the reqid of the SA that a packet came by or is to leave by."""
    return _expression(
        "xfrm",
        number(2, c.NFT_XFRM_KEY_REQID),
        attribute(3, bytes((direction,))),
        number(4, 0),
        number(1, register),
    )


def is_equal(value: bytes) -> bytes:
    """Go on if what was loaded is this."""
    return _expression(
        "cmp",
        number(1, c.NFT_REG_1),
        number(2, c.NFT_CMP_EQ),
        nested(3, attribute(c.NFTA_DATA_VALUE, value)),
    )


def masked(mask: bytes) -> bytes:
    """Keep these bits of what was loaded."""
    return _expression(
        "bitwise",
        number(1, c.NFT_REG_1),
        number(2, c.NFT_REG_1),
        number(3, len(mask)),
        nested(4, attribute(c.NFTA_DATA_VALUE, mask)),
        nested(5, attribute(c.NFTA_DATA_VALUE, bytes(len(mask)))),
    )


def in_set(name: str, *, no: bool = False) -> bytes:
    """Go on if what was loaded is in a set; with `no`, if it is not.

    An element counts what it was found by; one that was to be absent counts nothing.
    """
    inverted = (number(5, c.NFT_LOOKUP_F_INV),) if no else ()
    return _expression(
        "lookup",
        number(2, c.NFT_REG_1),
        text(c.NFTA_LOOKUP_SET, name),
        number(4, 0),
        *inverted,
    )


def verdict(code: int) -> bytes:
    """End here, with NF_ACCEPT or NF_DROP."""
    value = nested(c.NFTA_DATA_VERDICT, number(c.NFTA_VERDICT_CODE, code))
    return _expression("immediate", number(1, c.NFT_REG_VERDICT), nested(2, value))


def native(value: int) -> bytes:
    """Return a number of 32 bits as this machine holds it."""
    return struct.pack("=I", value)


def read_native(raw: bytes) -> int:
    """Return the number that `native` packed; 0 of anything else."""
    return int(struct.unpack("=I", raw)[0]) if len(raw) == 4 else 0  # noqa: PLR2004  # 32 bits
