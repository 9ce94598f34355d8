"""What a daemon answers its protocol machine, without a disk and without a kernel."""

import os
from collections.abc import Sequence
from uuid import UUID

from gateway.crypto.identity import PrivateIdentity, PublicIdentity
from gateway.handshake.events import (
    Address,
    CommitReceived,
    ControlReceived,
    EpochCommitted,
    EpochPrepared,
    HandshakeRefused,
    InitiationReceived,
    QKDKeyRequested,
)
from gateway.handshake.machine import Machine
from gateway.handshake.noise.symmetric import QKDKey
from gateway.handshake.tunnel import TunnelParameters
from gateway.secret import Secret
from gateway.wire.control import InForce
from gateway.wire.payloads import PlaneKind, Policy, Status

OFFER = bytes(4)
"""What the data plane tells the peer; of no meaning here."""

_KEY = bytes(range(32))
"""The QKD key of every handshake, the same in every process of a bench."""


def new_key_id() -> UUID:
    """Return a key_ID that was not offered before."""
    return UUID(bytes=os.urandom(16), version=4)


def make_parameters(
    name: str,
    local: PrivateIdentity,
    peer: PublicIdentity,
    *,
    initiator: bool,
    policy: Policy = Policy.REQUIRED,
    interval: float = 120.0,
) -> TunnelParameters:
    """Return a tunnel's parameters as a configuration would give them."""
    return TunnelParameters(
        name=name,
        local=local,
        peer=peer,
        initiator=initiator,
        policy=policy,
        plane=PlaneKind.ESP,
        encap=False,
        psk=None,
        interval=interval,
    )


class Driver:
    """Drives one machine.

    Attributes:
        machine: The machine.
        committed: Tunnels whose newest handshake has ended well at this end, with
            the epoch.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.committed: dict[str, int] = {}
        self._behind: dict[str, int] = {}

    def receive(self, data: bytes, address: Address, *, now: float) -> None:
        """Take in a datagram and do what follows from it."""
        self.machine.receive_datagram(data, address, now=now)
        self.work(now=now)

    def work(self, *, now: float) -> None:
        """Answer every event."""
        machine = self.machine
        while (event := machine.next_event()) is not None:
            match event:
                case InitiationReceived(handshake):
                    machine.accept_initiation(
                        handshake,
                        plane_offer=OFFER,
                        qkd=_chosen_key(event.request.key_ids),
                    )
                case QKDKeyRequested(handshake):
                    machine.provide_qkd_key(handshake, Secret(_KEY), now=now)
                case EpochPrepared(handshake):
                    machine.commit(handshake, now=now)
                case CommitReceived(handshake, tunnel, epoch):
                    machine.confirm(handshake, now=now)
                    self.committed[tunnel] = epoch
                case EpochCommitted(_, tunnel, epoch):
                    self.committed[tunnel] = epoch
                case HandshakeRefused(_, tunnel, Status.STALE_EPOCH, _, epoch):
                    self._behind[tunnel] = epoch
                case ControlReceived(tunnel, _, InForce(epoch, echo)):
                    if not echo:
                        machine.send_control(tunnel, InForce(epoch, echo=True))
                case _:
                    pass

    def start(
        self,
        tunnel: str,
        address: Address,
        *,
        now: float,
        key_ids: Sequence[UUID] | None = None,
    ) -> int:
        """Ask for the next epoch of a tunnel; return its number."""
        last = self.machine.committed(tunnel)
        epoch = max(last, self._behind.get(tunnel, 0)) + 1
        self.machine.start_handshake(
            tunnel,
            epoch=epoch,
            key_ids=(new_key_id(),) if key_ids is None else key_ids,
            plane_offer=OFFER,
            address=address,
            now=now,
        )
        return epoch


def _chosen_key(offered: Sequence[UUID]) -> QKDKey | None:
    return QKDKey(offered[0], Secret(_KEY)) if offered else None
