"""The supply of keys as the control socket shows it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from gateway.control.qkd_schema import KMEReport, QKDFinding, Supply
from gateway.rotation.phases import TunnelPhase
from gateway.sources.base import KMEStatus
from gateway.supply.machine import SupplyStatus
from gateway.wire.payloads import Policy

if TYPE_CHECKING:
    from gateway.sources.diagnosis.findings import TrialFinding
    from gateway.tunnels.driver import TunnelDriver


@dataclass(frozen=True, slots=True)
class DrawSchedule:
    """What the tunnels of a link take from its stock.

    Attributes:
        tunnels: Names of those that use QKD keys of it.
        rate: Keys a second: one each `qkd_every` rotations of those that are not
            taken down.
    """

    tunnels: tuple[str, ...]
    rate: float

    def seconds_to_empty(self, available: int) -> float | None:
        """How long so many keys last, or None while nothing takes any."""
        return available / self.rate if self.rate else None


def scheduled(link: str, drivers: Iterable["TunnelDriver"]) -> DrawSchedule:
    """Add up what a link's tunnels take."""
    users = [
        driver.state
        for driver in drivers
        if driver.state.config.link == link
        and driver.state.parameters.policy is not Policy.OFF
    ]
    rate = sum(
        1 / (state.config.rotation_interval * state.qkd_every())
        for state in users
        if state.rotation.phase is not TunnelPhase.DOWN
    )
    return DrawSchedule(tuple(sorted(state.name for state in users)), rate)


def report_supply(supply: SupplyStatus) -> Supply:
    """Describe what was done to fill a stock."""
    return Supply(
        calls=supply.calls,
        drawn=supply.drawn,
        fetched=supply.fetched,
        announced=supply.announced,
        asks=supply.asks,
        peer_available=supply.peer_available,
        compared_ago_s=supply.compared_ago_s,
        refused=supply.refused,
        error=supply.error,
        hint=supply.hint,
        retry_in_s=supply.retry_in_s,
    )


def report_kme(status: KMEStatus) -> KMEReport:
    """Describe what a KME says."""
    expires = status.certificate_expires
    return KMEReport(
        source=status.source,
        source_kme_id=status.source_kme_id,
        target_kme_id=status.target_kme_id,
        key_size=status.key_size,
        stored_key_count=status.stored_key_count,
        max_key_count=status.max_key_count,
        max_key_per_request=status.max_key_per_request,
        notes=list(status.notes),
        certificate_expires=expires.astimezone(UTC).isoformat() if expires else None,
        tls_group=status.tls_group,
    )


def report_finding(finding: "TrialFinding") -> QKDFinding:
    """Describe what a test found."""
    return QKDFinding(
        source=finding.source,
        step=finding.step.value,
        grade=finding.grade.value,
        text=finding.text,
        hint=finding.hint,
    )
