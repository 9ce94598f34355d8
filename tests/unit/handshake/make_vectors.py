"""Writes tests/vectors/protocol anew: see scripts/make-vectors."""

import json
from typing import Any
from uuid import UUID

from gateway.crypto.kdf import expand
from gateway.wire.header import DEFAULT_MTU
from gateway.wire.payloads import Status
from tests.unit.handshake.pair import seeded_random
from tests.unit.handshake.transcripts import FOLDER, Conversation, Record, plain_keys

_OFFERED = [str(UUID(int=0xABCD << 112 | number)) for number in (1, 2, 3)]
_PRESENT: dict[str, dict[str, Any]] = {
    "plain": {},
    "psk": {"psk": bytes(range(32)).hex()},
    "chain": {"chain": {"id": "c1" * 16, "secret": "5e" * 48}},
    "qkd": {
        "offered": _OFFERED,
        "qkd": {"key_id": _OFFERED[1], "secret": "0d" * 32},
    },
    "refused": {
        "offered": _OFFERED,
        "refused": int(Status.QKD_UNAVAILABLE),
        "used": _OFFERED[::2],
    },
}
_NAMED = [_OFFERED[0], _OFFERED[1].upper().replace("-", ""), "pool-7/key.0042"]
"""As the standard has it; a UUID in another form; a name that is none."""

_PRESENT["named"] = {
    "offered": _NAMED,
    "qkd": {"key_id": _NAMED[2], "secret": "0d" * 32},
}
_PRESENT["named-refused"] = {
    "offered": _NAMED,
    "refused": int(Status.QKD_UNAVAILABLE),
    "used": _NAMED[1:],
}
_PRESENT["all"] = {**_PRESENT["psk"], **_PRESENT["chain"], **_PRESENT["qkd"]}


def make(name: str, suite_id: int) -> Record:
    """Run one handshake from fixed seeds and return its record."""
    record: Record = {
        "name": f"suite {suite_id}, {name}",
        "suite": suite_id,
        "mtu": DEFAULT_MTU,
        "epoch": 7,
        "qkd_every": 720,
        "initiator_offer": "11223344",
        "responder_offer": "55667788",
        "psk": None,
        "chain": None,
        "qkd": None,
        "offered": [],
        "refused": None,
        "used": [],
        **_PRESENT[name],
    }
    for who in ("initiator", "responder"):
        label = f"vector {who} {suite_id}".encode().ljust(48, b"\0")
        size = 32 if suite_id == 1 else 56
        record[who] = {
            "ecdh_seed": expand(label, b"ecdh", size).hex(),
            "kem_seed": expand(label, b"kem", 64).hex(),
        }
    talk = Conversation(
        record,
        seeded_random(f"vector a {name} {suite_id}"),
        seeded_random(f"vector b {name} {suite_id}"),
    )
    talk.run()
    for who, identity in (("initiator", talk.initiator), ("responder", talk.responder)):
        record[who]["ecdh_public"] = identity.public.ecdh.hex()
        record[who]["kem_public"] = identity.public.kem.hex()
        record[who]["fingerprint"] = identity.public.fingerprint.hex()
    record["initiator"]["draws"] = [drawn.hex() for drawn in talk.draws_a.drawn]
    record["responder"]["draws"] = [drawn.hex() for drawn in talk.draws_b.drawn]
    record["encapsulations"] = {
        step: {"ciphertext": ciphertext.hex(), "secret": secret.hex()}
        for step, (_, (ciphertext, secret)) in zip(
            ("s1", "s_e", "s2"), talk.made, strict=True
        )
    }
    ecdh = talk.suite.ecdh
    ephemeral_a = ecdh.load_private(talk.draws_a.drawn[2])
    ephemeral_b = ecdh.load_private(talk.draws_b.drawn[2])
    a, b = talk.initiator.public.ecdh, talk.responder.public.ecdh
    record["ecdh"] = {
        "es": ephemeral_a.exchange(b).hex(),
        "ss": talk.initiator.ecdh.exchange(b).hex(),
        "ee": ephemeral_a.exchange(ephemeral_b.public).hex(),
        "se": ephemeral_b.exchange(a).hex(),
    }
    record["datagrams"] = talk.datagrams
    record["status"] = talk.status or Status.ACCEPTED.name
    record["keys"] = plain_keys(talk.keys["initiator"]) if talk.keys else None
    return record


def main() -> None:
    """Write every record."""
    FOLDER.mkdir(exist_ok=True)
    for suite_id in (1, 2):
        for name in _PRESENT:
            record = make(name, suite_id)
            path = FOLDER / f"suite{suite_id}-{name}.json"
            path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
