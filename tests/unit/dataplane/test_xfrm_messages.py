"""Our requests are, byte for byte, those that iproute2 sends for the same thing."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from gateway.dataplane.xfrm import constants as c
from gateway.dataplane.xfrm import structs
from gateway.dataplane.xfrm.attributes import xfrm_attributes
from gateway.dataplane.xfrm.messages import (
    HEADER_SIZE,
    MESSAGE_CLASSES,
    build,
    encode_message,
    parse_message,
    record_at,
)

CAPTURED: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("iproute2_requests.json").read_text()
)["requests"]

ACK = 4
KEY = bytes(range(36))
AEAD = {"alg_name": "rfc4106(gcm(aes))", "alg_key": KEY, "alg_icv_len": 128}
V4 = {"daddr": "192.0.2.2", "proto": 50}
NETS = {
    "saddr": "10.1.0.0", "prefixlen_s": 16, "daddr": "10.2.0.0", "prefixlen_d": 16,
    "family": 2,
}  # fmt: skip
LIMITS = structs.xfrm_lifetime_cfg.names
NO_LIMITS = dict.fromkeys(LIMITS[:4], 0)

REQUESTS: dict[str, tuple[int, dict[str, Any], dict[str, Any], int]] = {
    "NEWSA_ESN": (
        c.XFRM_MSG_NEWSA,
        {
            "info": {
                "id": {**V4, "spi": 0x12345678},
                "saddr": "192.0.2.1",
                "lft": {"hard_add_expires_seconds": 360},
                "reqid": 7,
                "family": 2,
                "mode": c.XFRM_MODE_TUNNEL,
                "flags": c.XFRM_STATE_AF_UNSPEC | c.XFRM_STATE_ESN,
            }
        },
        {
            "XFRMA_ALG_AEAD": AEAD,
            "XFRMA_REPLAY_ESN_VAL": {"replay_window": 4096},
            "XFRMA_IF_ID": 9,
        },
        ACK,
    ),
    "NEWSA_ENCAP": (
        c.XFRM_MSG_NEWSA,
        {
            "info": {
                "id": {"daddr": "2001:db8::2", "spi": 0x101, "proto": 50},
                "saddr": "2001:db8::1",
                "reqid": 7,
                "family": 10,
                "mode": c.XFRM_MODE_TUNNEL,
                "flags": c.XFRM_STATE_AF_UNSPEC,
            }
        },
        {
            "XFRMA_ALG_AEAD": AEAD,
            "XFRMA_ENCAP": {
                "encap_type": c.UDP_ENCAP_ESPINUDP,
                "encap_sport": 51810,
                "encap_dport": 51811,
            },
        },
        ACK,
    ),
    "NEWSA_CBC": (
        c.XFRM_MSG_NEWSA,
        {"info": {"id": {**V4, "spi": 0x102}, "saddr": "192.0.2.1", "family": 2}},
        {
            "XFRMA_ALG_CRYPT": {
                "alg_name": "cbc(aes)",
                "alg_key": bytes.fromhex("00112233445566778899aabbccddeeff"),
            },
            "XFRMA_ALG_AUTH_TRUNC": {
                "alg_name": "hmac(sha256)",
                "alg_key": b"\x00\x11",
                "alg_trunc_len": 128,
            },
            "XFRMA_MARK": {"v": 5, "m": 7},
            "XFRMA_SET_MARK": 3,
            "XFRMA_SET_MARK_MASK": 15,
        },
        ACK,
    ),
    "DELSA": (
        c.XFRM_MSG_DELSA,
        {"info": {**V4, "spi": 0x12345678, "family": 2}},
        {"XFRMA_SRCADDR": "192.0.2.1"},
        ACK,
    ),
    "GETSA": (
        c.XFRM_MSG_GETSA,
        {"info": {**V4, "spi": 0x12345678, "family": 2}},
        {"XFRMA_SRCADDR": "192.0.2.1"},
        0,
    ),
    "NEWPOLICY": (
        c.XFRM_MSG_NEWPOLICY,
        {
            "info": {
                "sel": {
                    **NETS,
                    "proto": 17,
                    "sport": 5,
                    "sport_mask": 0xFFFF,
                    "dport": 6,
                    "dport_mask": 0xFFFF,
                },
                "priority": 77,
                "dir": c.XFRM_POLICY_OUT,
            }
        },
        {
            "XFRMA_TMPL": [
                {
                    "id": {**V4, "spi": 0x55},
                    "saddr": "192.0.2.1",
                    "family": 2,
                    "reqid": 7,
                    "mode": c.XFRM_MODE_TUNNEL,
                }
            ]
        },
        ACK,
    ),
    "UPDPOLICY": (
        c.XFRM_MSG_UPDPOLICY,
        {
            "info": {
                "sel": {"daddr": "fd00:1::", "prefixlen_d": 64, "family": 10},
                "priority": 1,
                "action": c.XFRM_POLICY_BLOCK,
            }
        },
        {"XFRMA_IF_ID": 9},
        ACK,
    ),
    "DELPOLICY": (
        c.XFRM_MSG_DELPOLICY,
        {"info": {"sel": NETS, "dir": c.XFRM_POLICY_OUT}},
        {},
        ACK,
    ),
    "GETPOLICY": (
        c.XFRM_MSG_GETPOLICY,
        {"info": {"sel": NETS, "dir": c.XFRM_POLICY_FWD}},
        {},
        0,
    ),
    "FLUSHSA": (c.XFRM_MSG_FLUSHSA, {"proto": 50}, {}, ACK),
    "FLUSHPOLICY": (c.XFRM_MSG_FLUSHPOLICY, {}, {}, ACK),
    "ALLOCSPI": (
        c.XFRM_MSG_ALLOCSPI,
        {
            "info": {
                "id": V4,
                "saddr": "192.0.2.1",
                "lft": NO_LIMITS,
                "reqid": 3,
                "family": 2,
            },
            "min": 0x100,
            "max": 0x200,
        },
        {},
        0,
    ),
}

SIZES = {
    structs.xfrm_id: 24,
    structs.xfrm_selector: 56,
    structs.xfrm_lifetime_cfg: 64,
    structs.xfrm_lifetime_cur: 32,
    structs.xfrm_stats: 12,
    structs.xfrm_usersa_info: 224,
    structs.xfrm_usersa_id: 24,
    structs.xfrm_userpolicy_info: 168,
    structs.xfrm_userpolicy_id: 64,
    structs.xfrm_user_tmpl: 64,
    structs.xfrm_encap_tmpl: 24,
    structs.xfrm_aevent_id: 48,
    structs.xfrm_user_migrate: 76,
    structs.xfrm_user_kmaddress: 40,
    structs.xfrm_address_filter: 36,
    structs.xfrm_user_offload: 8,
    structs.xfrm_userpolicy_type: 6,
}
"""sizeof() of each structure, from a C compiler on x86_64."""


def without_sequence(message: bytes | bytearray) -> str:
    (length,) = struct.unpack_from("=I", message)
    return (bytes(message[:8]) + bytes(8) + bytes(message[16:length])).hex()


@pytest.mark.parametrize("name", CAPTURED)
def test_requests_are_those_of_iproute2(name: str) -> None:
    message_type, fields, attributes, flags = REQUESTS[name]
    ours = build(message_type, fields, attributes, flags=flags)
    theirs = bytes.fromhex(CAPTURED[name]["bytes"])
    assert without_sequence(ours) == without_sequence(theirs), CAPTURED[name]["command"]


@pytest.mark.parametrize("name", CAPTURED)
def test_what_is_parsed_is_built_again(name: str) -> None:
    theirs = bytearray.fromhex(CAPTURED[name]["bytes"])
    parsed = parse_message(theirs)
    again = build(
        parsed["header"]["type"],
        {field: parsed[field] for field, _ in parsed.fields},
        dict(parsed.get("attrs", [])),
        flags=parsed["header"]["flags"] & ~1,
    )
    assert without_sequence(again) == without_sequence(theirs)


@pytest.mark.parametrize("record", SIZES, ids=lambda record: record.__name__)
def test_structures_have_their_size(record: type[structs.Record]) -> None:
    assert record.size() == SIZES[record] == len(record.pack(0))
    assert record.pack(record.unpack_from(record.pack({}))) == record.pack({})


def test_every_message_has_a_class_that_encodes() -> None:
    for number, message_class in MESSAGE_CLASSES.items():
        message = build(number, {name: 0 for name, _ in message_class.fields})
        assert parse_message(message)["header"]["type"] == number


def test_one_record_is_read_without_the_rest() -> None:
    message_type, fields, attributes, flags = REQUESTS["NEWSA_ESN"]
    message = build(message_type, fields, attributes, flags=flags)
    lifetime = record_at(structs.xfrm_usersa_info, message, "lft")
    assert lifetime["hard_add_expires_seconds"] == 360
    assert structs.xfrm_usersa_info.offset_of("curlft") + HEADER_SIZE == 176
    with pytest.raises(KeyError):
        structs.xfrm_usersa_info.offset_of("nothing")


def test_misspelt_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="spy"):
        structs.xfrm_id.pack({"spy": 1})


ATTRIBUTES: dict[str, Any] = {
    "XFRMA_SEC_CTX": (1, 1, b"system_u:object_r:ipsec_spd_t:s0"),
    "XFRMA_LTIME_VAL": {"bytes": 5, "packets": 6, "add_time": 7, "use_time": 8},
    "XFRMA_REPLAY_VAL": {"oseq": 1, "seq": 2, "bitmap": 3},
    "XFRMA_REPLAY_ESN_VAL": {
        "oseq": 1, "seq": 2, "oseq_hi": 3, "seq_hi": 4, "replay_window": 40,
        "bmp": [5, 6],
    },
    "XFRMA_KMADDRESS": {"local": b"\1" * 16, "remote": b"\2" * 16, "family": 2},
    "XFRMA_ADDRESS_FILTER": {
        "saddr": b"\1" * 16, "daddr": b"\2" * 16, "family": 2, "splen": 8, "dplen": 9,
    },
    "XFRMA_OFFLOAD_DEV": {"ifindex": 3, "flags": 1},
    "XFRMA_POLICY_TYPE": {"type": 1, "reserved1": 0, "reserved2": 0},
    "XFRMA_TFCPAD": 100,
    "XFRMA_SA_DIR": 1,
    "XFRMA_LASTUSED": 2**40,
    "XFRMA_COADDR": b"\3" * 16,
}  # fmt: skip


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_come_back(name: str) -> None:
    message = build(c.XFRM_MSG_NEWSA, {"info": {"family": 2}}, {name: ATTRIBUTES[name]})
    assert parse_message(message).get_attr(name) == ATTRIBUTES[name]


def test_attributes_have_their_numbers() -> None:
    names = [name for name, _ in xfrm_attributes.nla_map]
    assert names.index("XFRMA_ALG_AEAD") == 18
    assert names.index("XFRMA_REPLAY_ESN_VAL") == 23
    assert names.index("XFRMA_IF_ID") == 31
    assert names.index("XFRMA_SA_DIR") == 33


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_are_those_of_pyroute2(name: str) -> None:
    message_type, fields, attributes, flags = REQUESTS[name]
    ours = build(message_type, fields, attributes, flags=flags)
    theirs = encode_message(message_type, fields, attributes, flags=flags)
    assert ours == theirs


@pytest.mark.parametrize("name", [*ATTRIBUTES, "XFRMA_UNSPEC", "XFRMA_PROTO"])
def test_attributes_are_those_of_pyroute2(name: str) -> None:
    fields, attributes = {"info": {"family": 2}}, {name: ATTRIBUTES.get(name, 0)}
    ours = build(c.XFRM_MSG_NEWSA, fields, attributes)
    assert ours == encode_message(c.XFRM_MSG_NEWSA, fields, attributes)


@pytest.mark.parametrize("number", MESSAGE_CLASSES)
def test_empty_messages_are_those_of_pyroute2(number: int) -> None:
    fields = {name: 0 for name, _ in MESSAGE_CLASSES[number].fields if name != "_pad"}
    assert build(number, fields) == encode_message(number, {**fields, "_pad": 0})
