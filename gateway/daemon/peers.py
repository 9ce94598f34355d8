"""Turns a tunnel's configuration and the files it names into parameters."""

from gateway.config.identity_files import load_psk, load_public_identity
from gateway.config.model import QKDPolicy, Role, TunnelConfig
from gateway.crypto.identity import PrivateIdentity
from gateway.daemon.planes import KINDS
from gateway.dataplane.base import DataPlane
from gateway.errors import IdentityError
from gateway.handshake.tunnel import TunnelParameters
from gateway.wire.payloads import Policy

_POLICIES = {
    QKDPolicy.OFF: Policy.OFF,
    QKDPolicy.PREFERRED: Policy.PREFERRED,
    QKDPolicy.REQUIRED: Policy.REQUIRED,
}


def load_parameters(
    config: TunnelConfig, local: PrivateIdentity, plane: DataPlane
) -> TunnelParameters:
    """Read the peer's identity and the PSK; decide who initiates.

    Raises:
        IdentityError: A file is missing, unsafe or damaged; the peer's identity is
            of another suite, or our own; this end would have to initiate and has no
            endpoint to call.
    """
    peer = load_public_identity(config.peer_identity)
    if peer.suite_id != local.suite.id:
        raise IdentityError(
            f"{config.peer_identity}: an identity of suite {peer.suite_id}, and ours "
            f"is of suite {local.suite.id}",
            "both ends need identities of one suite: qgw identity new --suite",
        )
    if peer.fingerprint == local.public.fingerprint:
        raise IdentityError(
            f"{config.peer_identity}: this is our own identity",
            "put the peer's public identity file there",
        )
    initiator = config.role is Role.INITIATOR or (
        config.role is Role.AUTO and local.public.fingerprint < peer.fingerprint
    )
    if initiator and config.endpoint is None:
        raise IdentityError(
            f"tunnel {config.name}: this end is the initiator by its fingerprint, and "
            "has no endpoint to call",
            'set endpoint, or role = "responder" here and "initiator" at the peer',
        )
    return TunnelParameters(
        name=config.name,
        local=local,
        peer=peer,
        initiator=initiator,
        policy=_POLICIES[config.qkd],
        plane=KINDS[plane.kind],
        encap=config.encap and plane.kind == "esp",
        psk=load_psk(config.psk_file) if config.psk_file else None,
        interval=config.rotation_interval,
        qkd_every=config.qkd_every,
    )
