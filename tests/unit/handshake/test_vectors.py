"""Records of whole handshakes, against three things that must agree with them.

The machine, with the same draws and encapsulations; the decapsulation of both KEM
providers; and a second implementation of the key schedule, written from
docs/protocol.md with hashlib and hmac, that shares no code with the first.
"""

import hashlib
import hmac
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.crypto.suite import load_suite
from gateway.wire.key_ids import key_id_text
from gateway.wire.payloads import (
    Status,
    decode_initiation,
    decode_response,
)
from tests.unit.crypto.published import PROVIDERS, load_kem
from tests.unit.handshake.transcripts import (
    Conversation,
    Record,
    load_records,
    plain_keys,
    replay,
)

RECORDS: Final = [pytest.param(r, id=r["name"]) for r in load_records()]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def test_records_are_there() -> None:
    assert len(RECORDS) == 16


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("record", RECORDS)
def test_machine_replays_every_byte(record: Record, provider: str) -> None:
    talk = Conversation(
        record,
        replay(record["initiator"]["draws"]),
        replay(record["responder"]["draws"]),
        provider,
    )
    talk.run()
    assert talk.datagrams == record["datagrams"]
    assert (talk.status or "ACCEPTED") == record["status"]
    if record["keys"] is None:
        assert not talk.keys
    else:
        assert plain_keys(talk.keys["initiator"]) == record["keys"]
        assert plain_keys(talk.keys["responder"]) == record["keys"]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("record", RECORDS)
def test_recorded_ciphertexts_decapsulate(record: Record, provider: str) -> None:
    kem = load_kem(provider, 768 if record["suite"] == 1 else 1024)
    owners = {
        "s1": record["responder"]["kem_seed"],
        "s_e": record["initiator"]["draws"][3],
        "s2": record["initiator"]["kem_seed"],
    }
    for step, seed in owners.items():
        made = record["encapsulations"][step]
        key = kem.load_private(unhex(seed))
        assert key.decapsulate(unhex(made["ciphertext"])).hex() == made["secret"]


@pytest.mark.parametrize("record", RECORDS)
def test_recorded_exchanges(record: Record) -> None:
    ecdh = load_suite(record["suite"]).ecdh
    a = ecdh.load_private(unhex(record["initiator"]["ecdh_seed"]))
    b = ecdh.load_private(unhex(record["responder"]["ecdh_seed"]))
    e_a = ecdh.load_private(unhex(record["initiator"]["draws"][2]))
    e_b = ecdh.load_private(unhex(record["responder"]["draws"][2]))
    for name, ours, theirs in (
        ("es", e_a, b),
        ("ss", a, b),
        ("ee", e_a, e_b),
        ("se", a, e_b),
    ):
        assert ours.exchange(theirs.public).hex() == record["ecdh"][name]
        assert theirs.exchange(ours.public).hex() == record["ecdh"][name]


# -- The second implementation


def sha384(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()


def hkdf(salt: bytes, secret: bytes, info: str, size: int) -> bytes:
    return hkdf_expand(hmac.digest(salt or bytes(48), secret, "sha384"), info, size)


def hkdf_expand(key: bytes, info: str, size: int) -> bytes:
    output = block = b""
    number = 1
    while len(output) < size:
        text = block + info.encode() + bytes([number])
        block = hmac.digest(key, text, "sha384")
        output += block
        number += 1
    return output[:size]


class Schedule:
    """docs/protocol.md, section 5."""

    def __init__(self, name: str) -> None:
        self.h = sha384(name.encode())
        self.ck = self.h
        self.k = b""
        self.opened: list[bytes] = []

    def mix_hash(self, data: bytes) -> None:
        self.h = sha384(self.h + data)

    def mix_key(self, label: str, secret: str) -> None:
        output = hkdf(self.ck, unhex(secret), f"qgw-1 mix {label}", 80)
        self.ck, self.k = output[:48], output[48:]

    def decrypt(self, sealed: bytes) -> None:
        self.opened.append(AESGCM(self.k).decrypt(bytes(12), sealed, self.h))
        self.mix_hash(sealed)


NAMES = {
    1: "qgw-1 IKpq suite 1 X25519 ML-KEM-768 AES-256-GCM SHA-384",
    2: "qgw-1 IKpq suite 2 P-384 ML-KEM-1024 AES-256-GCM SHA-384",
}
SIZES = {1: (32, 1184, 1088), 2: (97, 1568, 1568)}


class Fields:
    """Takes fields off a message, one after another."""

    def __init__(self, datagrams: list[str], macs: int) -> None:
        raw = [unhex(data) for data in datagrams]
        for index, data in enumerate(raw):
            assert data[:4] == bytes(4)
            assert data[4] == 1
            assert data[6:8] == bytes([index, len(raw)])
            assert len(data) <= 1232
        self.session_id = raw[0][8:16]
        self.rest = b"".join(data[16 : len(data) - macs] for data in raw)

    def take(self, size: int) -> bytes:
        field, self.rest = self.rest[:size], self.rest[size:]
        assert len(field) == size
        return field


def name_in_bytes(text: str) -> bytes:
    """docs/protocol.md, section 4: the 16 bytes that stand for a key."""
    plain = text.replace("-", "")
    if len(plain) == 32 and not plain.strip("0123456789abcdefABCDEF"):
        return unhex(plain)
    digest = bytearray(hashlib.sha256(b"qgw key_ID v1" + text.encode()).digest()[:16])
    digest[6] = digest[6] % 16 + 0x80
    digest[8] = digest[8] % 64 + 0x80
    return bytes(digest)


def offer_in_bytes(texts: list[str]) -> bytes:
    """docs/protocol.md, section 4: the QKD offer, with text where it must be."""
    plain = [len(text) == 36 and text == text.lower() for text in texts]
    if all(plain):
        return bytes([len(texts)]) + b"".join(map(name_in_bytes, texts))
    named = [bytes([len(text)]) + text.encode() for text in texts]
    return bytes([128 + len(texts)]) + b"".join(named)


def run_schedule(record: Record) -> Schedule:
    """Go through M1 and M2 as the specification says."""
    point, key, ciphertext = SIZES[record["suite"]]
    ecdh, kem = record["ecdh"], record["encapsulations"]
    statics = {
        who: unhex(record[who]["ecdh_public"] + record[who]["kem_public"])
        for who in ("initiator", "responder")
    }
    s = Schedule(NAMES[record["suite"]])
    m1 = Fields(record["datagrams"]["m1"], macs=32)
    s.mix_hash(statics["responder"])  # I1
    s.mix_hash(m1.session_id + m1.take(point) + m1.take(key))  # I3
    s.mix_key("es", ecdh["es"])  # I4
    ct_s = m1.take(ciphertext)
    assert ct_s.hex() == kem["s1"]["ciphertext"]
    s.mix_hash(ct_s)  # I5
    s.mix_key("s1", kem["s1"]["secret"])
    s.decrypt(m1.take(25 + 16))  # I6
    s.mix_hash(statics["initiator"])  # I7
    s.mix_key("ss", ecdh["ss"])  # I8
    s.decrypt(m1.take(256 + 16))  # I9
    assert m1.rest == b""
    m2 = Fields(record["datagrams"]["m2"], macs=16)
    assert m2.session_id == m1.session_id
    s.mix_hash(m2.take(point) + m2.take(ciphertext) + m2.take(ciphertext))  # R2
    s.mix_key("ee", ecdh["ee"])  # R3
    s.mix_key("se", ecdh["se"])  # R4
    s.mix_key("s_e", kem["s_e"]["secret"])  # R5
    s.mix_key("s2", kem["s2"]["secret"])  # R6
    s.decrypt(m2.take(112 + 16))  # R7
    refused = record["refused"] is not None
    psk = None if refused else record["psk"]
    chain = None if refused else record["chain"]
    qkd = None if refused else record["qkd"]
    if psk is None:  # S1
        s.mix_hash(bytes(17))
    else:
        s.mix_hash(b"\1" + hkdf(b"", unhex(psk), "qgw-1 id psk", 16))
        s.mix_key("psk", psk)
    if chain is None:  # S2
        s.mix_hash(bytes(17))
    else:
        s.mix_hash(b"\1" + unhex(chain["id"]))
        s.mix_key("chain", chain["secret"])
    if qkd is None:  # S3
        s.mix_hash(bytes(17))
    else:
        s.mix_hash(b"\1" + name_in_bytes(qkd["key_id"]))
        s.mix_key("qkd", qkd["secret"])
    if psk is chain is qkd is None:
        s.mix_key("nothing", "")
    s.decrypt(m2.take(16))  # R8
    assert m2.rest == b""
    return s


EXPORTS = {
    "commit": ("commit", 32),
    "committed": ("ack of commit", 32),
    "esp_i2r": ("esp i2r", 36),
    "esp_r2i": ("esp r2i", 36),
    "wireguard_psk": ("wireguard psk", 32),
    "chain": ("chain", 48),
    "control_i2r": ("control i2r", 32),
    "control_r2i": ("control r2i", 32),
}


@pytest.mark.parametrize("record", RECORDS)
def test_second_implementation_agrees(record: Record) -> None:
    s = run_schedule(record)
    fingerprint, initiation, response, nothing = s.opened
    assert fingerprint.hex() == record["initiator"]["fingerprint"]
    assert nothing == b""
    asked, answered = decode_initiation(initiation), decode_response(response)
    assert asked.epoch == record["epoch"]
    assert [key_id_text(key_id) for key_id in asked.key_ids] == record["offered"]
    assert [key_id.bytes for key_id in asked.key_ids] == [
        name_in_bytes(text) for text in record["offered"]
    ]
    assert offer_in_bytes(record["offered"]) in initiation
    if record["qkd"] is not None:
        assert answered.key_id is not None
        assert answered.key_id.bytes == name_in_bytes(record["qkd"]["key_id"])
    assert answered.status is Status[record["status"]]
    exporter = hkdf(s.ck, s.h, "qgw-1 exporter", 48)
    if record["keys"] is None:
        used = [record["offered"].index(key_id) for key_id in record["used"]]
        assert answered.used == frozenset(used)
        assert record["datagrams"]["m3"] == record["datagrams"]["m4"] == []
        return
    made = {
        name: hkdf_expand(exporter, f"qgw-1 export {label}", size).hex()
        for name, (label, size) in EXPORTS.items()
    }
    made["chain_id"] = hkdf_expand(unhex(made["chain"]), "qgw-1 id chain", 16).hex()
    assert made == record["keys"]
    for message, name, session_id in (
        ("m3", "commit", record["responder"]["draws"][1]),
        ("m4", "committed", record["initiator"]["draws"][1]),
    ):
        (datagram,) = (unhex(data) for data in record["datagrams"][message])
        kind = 3 if message == "m3" else 4
        header = bytes([0, 0, 0, 0, 1, kind, 0, 1]) + unhex(session_id)
        sealed = AESGCM(unhex(made[name])).encrypt(bytes(12), b"", header)
        assert datagram == header + sealed


@pytest.mark.parametrize("record", RECORDS)
def test_macs_and_fingerprints_agree(record: Record) -> None:
    def mac1(who: Any, data: bytes) -> bytes:
        public = unhex(who["ecdh_public"] + who["kem_public"])
        return hmac.digest(sha384(b"qgw-1 mac1" + public), data, "sha384")[:16]

    for data in record["datagrams"]["m1"]:
        raw = unhex(data)
        assert raw[-32:] == mac1(record["responder"], raw[:-32]) + bytes(16)
    for data in record["datagrams"]["m2"]:
        raw = unhex(data)
        assert raw[-16:] == mac1(record["initiator"], raw[:-16])
    for who in ("initiator", "responder"):
        public = unhex(record[who]["ecdh_public"] + record[who]["kem_public"])
        whole = sha384(b"qgw-1 fingerprint" + bytes([record["suite"]]) + public)
        assert whole[:25].hex() == record[who]["fingerprint"]
