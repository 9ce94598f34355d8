"""Whole handshakes on record: made once, replayed by the tests byte for byte.

A record holds every draw of randomness and every encapsulation, since those of a
KEM provider cannot be chosen, and everything that follows from them.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from gateway.crypto.identity import PrivateIdentity
from gateway.crypto.kem import KEM, KEMParameters, KEMPrivateKey
from gateway.crypto.suite import Suite, load_suite
from gateway.handshake.events import (
    CommitReceived,
    EpochPrepared,
    HandshakeRefused,
    InitiationReceived,
    QKDKeyRequested,
)
from gateway.handshake.machine import Machine
from gateway.handshake.noise.keys import EpochKeys
from gateway.handshake.noise.symmetric import Chain, QKDKey
from gateway.handshake.tunnel import TunnelParameters
from gateway.secret import Secret
from gateway.wire.key_ids import parse_key_id
from gateway.wire.payloads import PlaneKind, Policy, Status

FOLDER: Final = Path(__file__).parents[2] / "vectors" / "protocol"
TUNNEL: Final = "paris-london"
A: Final = ("192.0.2.1", 51810)
B: Final = ("198.51.100.2", 51810)

Record = dict[str, Any]
Encapsulation = tuple[bytes, bytes]


class ScriptedKEM:
    """A real KEM whose encapsulations come from, or go to, a list."""

    def __init__(
        self,
        real: KEM,
        script: Iterator[Encapsulation] | None,
        made: list[tuple[bytes, Encapsulation]],
    ) -> None:
        self._real = real
        self._script = script
        self._made = made

    @property
    def parameters(self) -> KEMParameters:
        return self._real.parameters

    @property
    def provider(self) -> str:
        return self._real.provider

    def load_private(self, seed: bytes) -> KEMPrivateKey:
        return self._real.load_private(seed)

    def encapsulate(self, public: bytes) -> Encapsulation:
        result = self._real.encapsulate(public)
        if self._script is not None:
            result = next(self._script)
        self._made.append((public, result))
        return result


class Draws:
    """Randomness from, or into, a list."""

    def __init__(self, source: Callable[[int], bytes]) -> None:
        self._source = source
        self.drawn: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        drawn = self._source(size)
        assert len(drawn) == size
        self.drawn.append(drawn)
        return drawn


def replay(drawn: list[str]) -> Callable[[int], bytes]:
    """Return a source of randomness that gives what was drawn before."""
    rest = iter(drawn)
    return lambda _size: bytes.fromhex(next(rest))


class Conversation:
    """One handshake between two machines, with everything in it on record."""

    def __init__(
        self,
        record: Record,
        draw_a: Callable[[int], bytes],
        draw_b: Callable[[int], bytes],
        provider: str = "openssl",
    ) -> None:
        self.record = record
        script = record.get("encapsulations")
        self.made: list[tuple[bytes, Encapsulation]] = []
        steps = (
            None
            if script is None
            else iter(
                [
                    (
                        bytes.fromhex(script[name]["ciphertext"]),
                        bytes.fromhex(script[name]["secret"]),
                    )
                    for name in ("s1", "s_e", "s2")
                ]
            )
        )
        plain = load_suite(record["suite"], provider)
        self.suite = Suite(
            plain.id, plain.ecdh, ScriptedKEM(plain.kem, steps, self.made)
        )
        self.draws_a, self.draws_b = Draws(draw_a), Draws(draw_b)
        self.initiator = self._identity("initiator")
        self.responder = self._identity("responder")
        self.a = Machine(random=self.draws_a, mtu=record["mtu"])
        self.b = Machine(random=self.draws_b, mtu=record["mtu"])
        self.a.add_tunnel(self._parameters(initiator=True))
        self.b.add_tunnel(self._parameters(initiator=False))
        chain = record["chain"]
        if chain is not None:
            for machine in (self.a, self.b):
                machine._core.tunnels[TUNNEL].chains = (
                    Chain(
                        bytes.fromhex(chain["id"]),
                        Secret(bytes.fromhex(chain["secret"])),
                    ),
                )
        self.datagrams: dict[str, list[str]] = {}
        self.keys: dict[str, EpochKeys] = {}
        self.status = ""

    def _identity(self, who: str) -> PrivateIdentity:
        seeds = self.record[who]
        return PrivateIdentity(
            self.suite,
            Secret(bytes.fromhex(seeds["ecdh_seed"])),
            Secret(bytes.fromhex(seeds["kem_seed"])),
        )

    def _parameters(self, *, initiator: bool) -> TunnelParameters:
        psk = self.record["psk"]
        local, peer = self.initiator, self.responder
        if not initiator:
            local, peer = peer, local
        return TunnelParameters(
            TUNNEL,
            local,
            peer.public,
            initiator,
            Policy.PREFERRED,
            PlaneKind.ESP,
            encap=False,
            psk=None if psk is None else Secret(bytes.fromhex(psk)),
            interval=120.0,
            qkd_every=self.record["qkd_every"],
        )

    def run(self) -> None:
        """Carry M1 to M4, or as far as it goes."""
        record = self.record
        offered = [key_id_of_text(text) for text in record["offered"]]
        self.a.start_handshake(
            TUNNEL,
            epoch=record["epoch"],
            key_ids=offered,
            plane_offer=bytes.fromhex(record["initiator_offer"]),
            address=B,
            now=1.0,
        )
        for name, source, target in (
            ("m1", self.a, self.b),
            ("m2", self.b, self.a),
            ("m3", self.a, self.b),
            ("m4", self.b, self.a),
        ):
            sent = [data for data, _ in source.datagrams_to_send()]
            self.datagrams[name] = [data.hex() for data in sent]
            for data in sent:
                target.receive_datagram(data, A if source is self.a else B, now=1.0)
            self._drive(target)
        assert not self.a.dropped()
        assert not self.b.dropped()

    def _drive(self, machine: Machine) -> None:
        record = self.record
        qkd = record["qkd"]
        while (event := machine.next_event()) is not None:
            match event:
                case InitiationReceived() if record["refused"] is not None:
                    used = [key_id_of_text(text) for text in record["used"]]
                    machine.refuse_initiation(
                        event.handshake, Status(record["refused"]), used=used
                    )
                case InitiationReceived():
                    key = None
                    if qkd is not None:
                        secret = Secret(bytes.fromhex(qkd["secret"]))
                        key = QKDKey(key_id_of_text(qkd["key_id"]), secret)
                    machine.accept_initiation(
                        event.handshake,
                        plane_offer=bytes.fromhex(record["responder_offer"]),
                        qkd=key,
                    )
                case QKDKeyRequested():
                    secret = Secret(bytes.fromhex(qkd["secret"]))
                    machine.provide_qkd_key(event.handshake, secret, now=1.0)
                case EpochPrepared():
                    self.keys["initiator"] = event.keys
                    machine.commit(event.handshake, now=1.0)
                case CommitReceived():
                    self.keys["responder"] = event.keys
                    machine.confirm(event.handshake, now=1.0)
                case HandshakeRefused():
                    self.status = event.status.name
                case _:
                    pass


def key_id_of_text(text: str) -> UUID:
    """Return the key_ID that a KME writes so."""
    key_id = parse_key_id(text)
    assert key_id is not None
    return key_id


def plain_keys(keys: EpochKeys) -> dict[str, str]:
    """Return every exported key as text."""
    values = {field.name: getattr(keys, field.name) for field in fields(keys)}
    return {
        name: (value.expose() if isinstance(value, Secret) else value).hex()
        for name, value in values.items()
    }


def load_records() -> list[Record]:
    """Return every record there is."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
