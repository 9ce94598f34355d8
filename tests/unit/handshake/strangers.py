"""Datagrams that somebody makes who knows no more than a public identity."""

from gateway.crypto.identity import PublicIdentity
from gateway.crypto.kdf import MAC_SIZE
from gateway.handshake.cookies import NO_MAC, Seal
from gateway.handshake.machine import Machine
from gateway.wire.payloads import PlaneKind, Policy
from tests.unit.handshake.pair import (
    RESPONDER_ADDRESS,
    Pair,
    identity,
    parameters,
    seeded_random,
)


def remake_macs(initiation: bytes, responder: PublicIdentity) -> bytes:
    """Give a changed fragment of M1 the mac1 that its receiver expects."""
    start = initiation[: -2 * MAC_SIZE]
    return start + Seal(responder).mac1(start) + NO_MAC


def remake_mac1(response: bytes, initiator: PublicIdentity) -> bytes:
    """Give a changed fragment of M2 the mac1 that its receiver expects."""
    start = response[:-MAC_SIZE]
    return start + Seal(initiator).mac1(start)


def stranger_initiation(pair: Pair, who: str) -> list[bytes]:
    """Return a whole, well-made M1 from an identity that nobody pinned."""
    machine = Machine(random=seeded_random(who))
    suite_id = pair.london.suite.id
    machine.add_tunnel(
        parameters(
            identity("stranger", suite_id),
            pair.london,
            initiator=True,
            policy=Policy.OFF,
            plane=PlaneKind.ESP,
        )
    )
    machine.start_handshake(
        "paris",
        epoch=1,
        key_ids=[],
        plane_offer=b"x",
        address=RESPONDER_ADDRESS,
        now=pair.now,
    )
    return [data for data, _ in machine.datagrams_to_send()]
