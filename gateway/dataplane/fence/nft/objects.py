"""The objects of a table: requests that make, change and delete them."""

import sys
from typing import Final

from gateway.dataplane.fence.nft import constants as c
from gateway.dataplane.fence.nft.attributes import (
    HEADER_SIZE,
    attribute,
    message,
    nested,
    number,
    text,
    userdata,
    walk,
)

TABLE: Final = "qgw"
"""Family inet. Nobody else's tables are touched, and only root's hand touches ours."""

COVER: Final = "qgw-cover"
"""A second table with all that ours holds, while ours is deleted and made anew."""

UDATA_COMMENT: Final = 0
"""Kind of a comment in what nft stores beside tables, rules and elements."""


def new_table(flags: int, name: str = TABLE) -> bytes:
    """Return what makes the table, or wakes one that was put to sleep."""
    comment = userdata((UDATA_COMMENT, b"qgwd: what may pass only by a tunnel\0"))
    return message(
        c.NFT_MSG_NEWTABLE,
        text(c.NFTA_TABLE_NAME, name),
        number(c.NFTA_TABLE_FLAGS, flags),
        attribute(c.NFTA_TABLE_USERDATA, comment),
        flags=c.NLM_F_CREATE,
    )


def delete_table(name: str = TABLE) -> bytes:
    """Return what takes the table away with all in it."""
    return message(c.NFT_MSG_DELTABLE, text(c.NFTA_TABLE_NAME, name))


def in_table(request: bytes, name: str) -> bytes:
    """Return the same request about another table, which each names first."""
    (_, content), *_ = walk(request[HEADER_SIZE:])
    rest = request[HEADER_SIZE + len(attribute(c.NFTA_TABLE_NAME, content)) :]
    moved = request[4:HEADER_SIZE] + text(c.NFTA_TABLE_NAME, name) + rest
    return (4 + len(moved)).to_bytes(4, sys.byteorder) + moved


def set_message(
    name: str,
    key_type: int,
    key_size: int,
    extra: tuple[bytes, ...] = (),
    flags: int = 0,
    notes: bytes = b"",
    *,
    exclusive: bool = False,
) -> bytes:
    """Return what makes a set if it is not there; `exclusive`: refused if it is."""
    return message(
        c.NFT_MSG_NEWSET,
        text(c.NFTA_SET_TABLE, TABLE),
        text(c.NFTA_SET_NAME, name),
        number(c.NFTA_SET_FLAGS, flags),
        number(c.NFTA_SET_KEY_TYPE, key_type),
        number(c.NFTA_SET_KEY_LEN, key_size),
        *extra,
        number(c.NFTA_SET_ID, 1),
        *((attribute(c.NFTA_SET_USERDATA, notes),) if notes else ()),
        flags=c.NLM_F_CREATE | (c.NLM_F_EXCL if exclusive else 0),
    )


def elements_message(command: int, name: str, *elements: bytes) -> bytes:
    """Return what adds elements to a set or deletes them; none to flush it."""
    return message(
        command,
        text(c.NFTA_SET_ELEM_LIST_TABLE, TABLE),
        text(c.NFTA_SET_ELEM_LIST_SET, name),
        *((nested(c.NFTA_SET_ELEM_LIST_ELEMENTS, *elements),) if elements else ()),
        flags=c.NLM_F_CREATE if command == c.NFT_MSG_NEWSETELEM else 0,
    )


def element(key: bytes, *parts: bytes) -> bytes:
    """Return one element."""
    return nested(
        c.NFTA_LIST_ELEM,
        nested(c.NFTA_SET_ELEM_KEY, attribute(c.NFTA_DATA_VALUE, key)),
        *parts,
    )


def chain_message(name: str, *parts: bytes) -> bytes:
    """Return what makes a chain, if it is not there."""
    return message(
        c.NFT_MSG_NEWCHAIN,
        text(c.NFTA_CHAIN_TABLE, TABLE),
        text(c.NFTA_CHAIN_NAME, name),
        *parts,
        flags=c.NLM_F_CREATE,
    )


def flush_chain(name: str) -> bytes:
    """Return what deletes every rule of a chain."""
    return message(
        c.NFT_MSG_DELRULE, text(c.NFTA_RULE_TABLE, TABLE), text(c.NFTA_RULE_CHAIN, name)
    )


def delete_chain(name: str) -> bytes:
    """Return what deletes a chain with its rules."""
    return message(
        c.NFT_MSG_DELCHAIN,
        text(c.NFTA_CHAIN_TABLE, TABLE),
        text(c.NFTA_CHAIN_NAME, name),
    )


def delete_set(name: str) -> bytes:
    """Return what deletes a set."""
    return message(
        c.NFT_MSG_DELSET, text(c.NFTA_SET_TABLE, TABLE), text(c.NFTA_SET_NAME, name)
    )


def rule_message(chain: str, *expressions: bytes, comment: str = "") -> bytes:
    """Return what adds a rule at a chain's end."""
    note = userdata((UDATA_COMMENT, comment.encode("ascii") + b"\0"))
    return message(
        c.NFT_MSG_NEWRULE,
        text(c.NFTA_RULE_TABLE, TABLE),
        text(c.NFTA_RULE_CHAIN, chain),
        nested(c.NFTA_RULE_EXPRESSIONS, *expressions),
        *((attribute(c.NFTA_RULE_USERDATA, note),) if comment else ()),
        flags=c.NLM_F_CREATE | c.NLM_F_APPEND,
    )
