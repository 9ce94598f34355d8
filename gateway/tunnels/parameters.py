"""Parameters of a tunnel, from its configuration and what its files hold."""

from gateway.acceptance.files import TunnelFiles, judge_peer
from gateway.config.model import QKDPolicy, Role, TunnelConfig
from gateway.crypto.identity import PrivateIdentity
from gateway.dataplane.base import DataPlane
from gateway.errors import IdentityError
from gateway.handshake.tunnel import TunnelParameters
from gateway.wire.payloads import PlaneKind, Policy

_POLICIES = {
    QKDPolicy.OFF: Policy.OFF,
    QKDPolicy.PREFERRED: Policy.PREFERRED,
    QKDPolicy.REQUIRED: Policy.REQUIRED,
}


def make_parameters(
    config: TunnelConfig, files: TunnelFiles, local: PrivateIdentity, plane: DataPlane
) -> TunnelParameters:
    """Say what the handshake must know; decide who initiates.

    Raises:
        IdentityError: The peer's identity is of another suite, or our own; this end
            would have to initiate and has no endpoint to call.
    """
    peer = files.peer
    judge_peer(config, local.public, peer)
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
        plane=PlaneKind[plane.kind.upper()],
        encap=config.encap and plane.traits.has_encap,
        psk=files.psk,
        interval=config.rotation_interval,
        qkd_every=config.qkd_every,
    )
