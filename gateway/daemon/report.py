"""The daemon's state as the control socket shows it."""

from gateway.config.model import LinkConfig, LinkSource
from gateway.control.schema import (
    FailureStatus,
    InForce,
    LinkStatus,
    QKDKeyState,
    TunnelStatus,
)
from gateway.crypto.identity import format_fingerprint
from gateway.daemon.path import Path
from gateway.daemon.refusals import policy_name
from gateway.daemon.tunnel_state import TunnelState
from gateway.keystore.alarms import StockAlarm
from gateway.keystore.base import StockStatus
from gateway.rotation.epochs import Epoch
from gateway.rotation.phases import TunnelPhase

_HINTS = {
    "timeout": "check that the peer runs, its endpoint, and the fingerprints",
    "unconfirmed": "check the path between the gateways for loss",
    "symmetric": "compare the PSK files, and purge and refill the QKD link's stock",
    "qkd": "see what the link's KME says: qgw qkd status; or import keys",
    "qkd-unavailable": "see the stock at both ends: qgw qkd status; or import keys",
    "plane": "see the fault below, and: journalctl -u qgwd",
    "endpoint": "check the endpoint's name and the routes to it",
    "install": "see: journalctl -u qgwd",
}

_WAITING = {
    True: "check that the peer runs, its endpoint, and the path to it",
    False: "the peer starts the handshakes: check that it runs and can reach us",
}
"""What to do when no attempt has failed yet and still there is no epoch, by whether
this end is the initiator."""


def report_tunnel(state: TunnelState, address: object, *, now: float) -> TunnelStatus:
    """Describe one tunnel."""
    config, rotation = state.config, state.rotation
    current, parameters = rotation.current, state.parameters
    up = rotation.phase is TunnelPhase.UP
    committed_at = current.committed_at if current else None
    in_force_at = current.in_force_at if current else None
    adopted = current is not None and current.adopted
    epoch = None
    if current is not None:
        epoch = current.number or state.last_epoch()
    traffic = state.plane.traffic
    carried, counts_packets = traffic.total, state.plane.plane.counts_packets
    return TunnelStatus(
        name=config.name,
        state=rotation.phase.value,
        reason=rotation.reason,
        hint=_hint(state),
        role="initiator" if parameters.initiator else "responder",
        peer=format_fingerprint(parameters.peer.fingerprint),
        endpoint=_endpoint(state, address),
        plane=state.plane.plane.name,
        interface=config.interface,
        suite=parameters.peer.suite_id,
        qkd=config.qkd.value,
        qkd_every=config.qkd_every,
        peer_qkd=policy_name(state.peer_terms.policy) if state.peer_terms else None,
        peer_qkd_every=state.peer_terms.qkd_every if state.peer_terms else None,
        link=config.link,
        epoch=epoch,
        in_force=InForce(
            local=bool(current and current.local_proof),
            peer=bool(current and current.peer_proof),
            since_s=None if in_force_at is None else now - in_force_at,
        ),
        sources=list(current.sources) if current else [],
        key_id=str(current.key_id) if current and current.key_id else None,
        qkd_key=_qkd_key(current),
        qkd_age=current.qkd_age if current else None,
        epoch_age_s=None if committed_at is None or adopted else now - committed_at,
        next_rotation_s=_left(rotation.next_attempt, now) if up else None,
        lifetime_left_s=_left(rotation.expires_at, now),
        rotations=rotation.rotations,
        failed_rotations=rotation.failures,
        rx_bytes=carried.rx_bytes,
        tx_bytes=carried.tx_bytes,
        rx_packets=carried.rx_packets if counts_packets else None,
        tx_packets=carried.tx_packets if counts_packets else None,
        received_ago_s=_ago(traffic.received_at, now),
        sent_ago_s=_ago(traffic.sent_at, now),
        last_failure=_failure(state, now),
        faults=state.faults(),
    )


def report_link(
    config: LinkConfig | None, status: StockStatus, alarm: StockAlarm
) -> LinkStatus:
    """Describe one link; `config` is None for one that only has leftover stock."""
    return LinkStatus(
        link=status.link,
        source=config.source.value if config else "none",
        simulated=config is not None and config.source is LinkSource.SIMULATED,
        available=status.available,
        unconfirmed=status.unconfirmed,
        reserved=status.reserved,
        consumed=status.consumed,
        expired=status.expired,
        rate_in=status.rate_in,
        rate_out=status.rate_out,
        seconds_to_empty=status.seconds_to_empty,
        low_water=config.low_water if config else 0,
        alarm=alarm.value,
    )


def _qkd_key(epoch: Epoch | None) -> QKDKeyState | None:
    if epoch is None or epoch.adopted:
        return None
    if epoch.qkd_age is None:
        return "none"
    return "chained" if epoch.qkd_age else "fresh"


def _endpoint(state: TunnelState, address: object) -> str | None:
    if isinstance(address, Path):
        return str(address)
    return str(state.config.endpoint) if state.config.endpoint else None


def _hint(state: TunnelState) -> str:
    match state.rotation.phase:
        case TunnelPhase.UP:
            return ""
        case TunnelPhase.DOWN:
            return f"bring it up: qgw tunnel up {state.name}"
        case _:
            waiting = _WAITING[state.parameters.initiator]
            return _HINTS.get(state.failure_reason(), waiting)


def _failure(state: TunnelState, now: float) -> FailureStatus | None:
    failure = state.failure
    if failure is None:
        return None
    return FailureStatus(
        reason=failure.reason, detail=failure.detail, ago_s=now - failure.at
    )


def _ago(when: float | None, now: float) -> float | None:
    return None if when is None else max(0.0, now - when)


def _left(when: float | None, now: float) -> float | None:
    return None if when is None else max(0.0, when - now)
