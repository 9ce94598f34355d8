"""The daemon's state as the control socket shows it."""

from dataclasses import dataclass

from gateway.config.model import LinkConfig, LinkSource, TunnelConfig
from gateway.control.schema import (
    DeviceStatus,
    FailingStatus,
    FailureStatus,
    InForceStatus,
    LinkStatus,
    QKDKeyState,
    SessionStatus,
    TunnelDetails,
    TunnelFenceStatus,
    TunnelStatus,
)
from gateway.crypto.identity import format_fingerprint
from gateway.dataplane.fence.base import TunnelFence
from gateway.dataplane.view import DeviceView, SessionView, TunnelView
from gateway.errors import GatewayError
from gateway.host.path import Path
from gateway.keystore.base import StockStatus
from gateway.observe.failures import Failing
from gateway.observe.hints import Circumstances, hint_of
from gateway.rotation.epochs import Epoch
from gateway.rotation.phases import TunnelPhase
from gateway.supply.alarms import StockAlarm
from gateway.tunnels.explain import policy_name
from gateway.tunnels.state import TunnelState


@dataclass(frozen=True, slots=True)
class TunnelSurroundings:
    """What a tunnel's report needs beside the tunnel's own state.

    Attributes:
        address: Where the peer was last heard authentically, or None.
        failing: Its failures since the last epoch in force, or None.
        link_hint: What to do about its link's KME; empty if nothing.
        unsent: Why datagrams were not sent lately; empty if all were.
        now: Monotonic seconds.
    """

    address: object
    failing: Failing | None
    link_hint: str
    unsent: str
    now: float


def report_tunnel(state: TunnelState, around: TunnelSurroundings) -> TunnelStatus:
    """Describe one tunnel."""
    address, now, failing = around.address, around.now, around.failing
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
        enabled=config.enabled,
        started=True,
        state=rotation.phase.value,
        reason=rotation.reason,
        hint=_hint(state, around),
        role="initiator" if parameters.initiator else "responder",
        peer=format_fingerprint(parameters.peer.fingerprint),
        endpoint=_endpoint(state, address),
        peer_address=str(address) if isinstance(address, Path) else None,
        plane=state.plane.plane.name,
        interface=config.interface,
        suite=parameters.peer.suite_id,
        qkd=config.qkd.value,
        qkd_every=config.qkd_every,
        peer_qkd=policy_name(state.peer_terms.policy) if state.peer_terms else None,
        peer_qkd_every=state.peer_terms.qkd_every if state.peer_terms else None,
        link=config.link,
        epoch=epoch,
        in_force=InForceStatus(
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
        failing=_report_failing(failing, now),
        faults=state.faults(),
    )


def report_unstarted(
    config: TunnelConfig, error: GatewayError, *, suite: int, fenced: bool
) -> TunnelStatus:
    """Describe a tunnel that could not start; only the fence can block it."""
    return TunnelStatus(
        name=config.name,
        enabled=config.enabled,
        started=False,
        state="blocked" if fenced else "down",
        reason=error.message,
        hint=error.hint,
        role=config.role.value,
        peer="",
        endpoint=str(config.endpoint) if config.endpoint else None,
        peer_address=None,
        plane=config.plane.value,
        interface=config.interface,
        suite=suite,
        qkd=config.qkd.value,
        qkd_every=config.qkd_every,
        peer_qkd=None,
        peer_qkd_every=None,
        link=config.link,
        epoch=None,
        in_force=InForceStatus(local=False, peer=False, since_s=None),
        sources=[],
        key_id=None,
        qkd_key=None,
        qkd_age=None,
        epoch_age_s=None,
        next_rotation_s=None,
        lifetime_left_s=None,
        rotations=0,
        failed_rotations=0,
        rx_bytes=0,
        tx_bytes=0,
        rx_packets=None,
        tx_packets=None,
        received_ago_s=None,
        sent_ago_s=None,
        last_failure=None,
        failing=None,
        faults=[],
    )


def report_details(
    status: TunnelStatus,
    config: TunnelConfig,
    view: TunnelView,
    fence: TunnelFence | None,
    address: object,
) -> TunnelDetails:
    """Add what is real in the kernel to a tunnel's status."""
    local = address.local_host if isinstance(address, Path) else ""
    return TunnelDetails(
        **status,
        local_address=local or config.local_address,
        local_subnets=list(map(str, config.local_subnets)),
        remote_subnets=list(map(str, config.remote_subnets)),
        mtu=view.mtu,
        devices=[_report_device(device) for device in view.devices],
        sessions=[_report_session(session) for session in view.sessions],
        fence=_report_fence(fence),
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


def _report_device(device: DeviceView) -> DeviceStatus:
    return DeviceStatus(
        name=device.name,
        up=device.is_up,
        addresses=list(device.addresses),
        mtu=device.mtu,
        port=device.port,
        public_key=device.public_key,
    )


def _report_session(session: SessionView) -> SessionStatus:
    return SessionStatus(
        epoch=session.epoch,
        active=session.active,
        device=session.device,
        local=session.local,
        peer=session.peer,
        spi_in=session.spi_in,
        spi_out=session.spi_out,
        peer_key=session.peer_key,
    )


def _report_fence(fence: TunnelFence | None) -> TunnelFenceStatus | None:
    if fence is None:
        return None
    return TunnelFenceStatus(
        dropped_out=fence.dropped_out,
        dropped_in=fence.dropped_in,
        granted_s=fence.granted,
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


def _hint(state: TunnelState, around: TunnelSurroundings) -> str:
    config, address = state.config, around.address
    peer = config.endpoint.host if config.endpoint else ""
    return hint_of(
        Circumstances(
            name=state.name,
            phase=state.rotation.phase.value,
            reason=state.rotation.reason,
            failing=around.failing.reason if around.failing else "",
            initiator=state.parameters.initiator,
            capture=state.plane.plane.traits.capture,
            encap=state.parameters.encap,
            link=config.link or "",
            link_hint=around.link_hint,
            peer=address.host if isinstance(address, Path) else peer,
            unsent=around.unsent,
        )
    )


def _report_failing(failing: Failing | None, now: float) -> FailingStatus | None:
    if failing is None:
        return None
    return FailingStatus(
        attempts=failing.attempts,
        since_s=now - failing.since,
        reason=failing.reason,
        detail=failing.detail,
    )


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
