"""Each end's own demands, whatever the other says."""

from gateway.handshake import limits
from gateway.handshake.attempts import InitiatorHandshake, TunnelHandshakes
from gateway.handshake.freshness import is_due
from gateway.handshake.noise.responder import InitiationRead
from gateway.wire.payloads import Policy, ResponsePayload, Status, Terms


def verdict(tunnel: TunnelHandshakes, read: InitiationRead, *, known: bool) -> Status:
    """Whether this end can serve what M1 asks, before any QKD key is looked for."""
    request = read.payload
    if not known:
        return Status.UNKNOWN_TUNNEL
    if tunnel.parameters.initiator:
        return Status.ROLE_CONFLICT
    return _judge_terms(tunnel.terms, request.terms) or _judge_epoch(
        request.epoch, tunnel.committed
    )


def is_near(epoch: int, ours: int) -> bool:
    """Whether an honest peer can have come to this epoch while we are at ours."""
    return epoch <= min(ours + limits.MAX_EPOCH_LEAP, limits.MAX_EPOCH)


def _judge_epoch(epoch: int, committed: int) -> Status:
    if epoch <= committed:
        return Status.STALE_EPOCH
    return Status.ACCEPTED if is_near(epoch, committed) else Status.EPOCH_LEAP


def _judge_terms(ours: Terms, theirs: Terms) -> Status | None:
    if (theirs.plane, theirs.encap) != (ours.plane, ours.encap):
        return Status.PLANE_MISMATCH
    if theirs.psk != ours.psk:
        return Status.PSK_MISMATCH
    if {theirs.policy, ours.policy} == {Policy.OFF, Policy.REQUIRED}:
        return Status.POLICY_MISMATCH
    return None


def objection(handshake: InitiatorHandshake, payload: ResponsePayload) -> str:
    """Return why this answer breaks our own policy, whatever the peer says."""
    terms, ours = payload.terms, handshake.tunnel.terms
    if payload.key_id is None:
        chain = handshake.chain if payload.chained else None
        if ours.policy is Policy.REQUIRED and is_due(chain, ours.qkd_every):
            every = f", qkd_every = {ours.qkd_every}" if ours.qkd_every > 1 else ""
            return f"the peer agreed to no QKD key, and qkd = required{every} here"
    elif payload.key_id not in handshake.offered:
        return "the peer chose a QKD key that was not offered"
    if handshake.qkd is not None and handshake.qkd.key_id != payload.key_id:
        return "the peer changed its mind about the QKD key"
    if payload.chained and handshake.chain is None:
        return "the peer mixed a chain secret that was not offered"
    if (terms.plane, terms.psk, terms.encap) != (ours.plane, ours.psk, ours.encap):
        return "the peer accepted terms that are not its own"
    return ""
