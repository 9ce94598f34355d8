"""The eye on one daemon: all that is not right, for whoever asks."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from gateway.config.model import GatewayConfig
from gateway.control.schema import (
    Alert,
    AlertKind,
    FenceStatus,
    LinkStatus,
    TunnelStatus,
)
from gateway.dataplane.fence.enforcement import Fencing
from gateway.dataplane.host import check_host
from gateway.errors import GatewayError
from gateway.host.sockets import ControlSockets
from gateway.keystore.past import Sign
from gateway.observe.alerts import (
    fence_alerts,
    gateway_alert,
    host_alerts,
    kernel_alerts,
    link_alert,
    link_alerts,
    socket_alerts,
    tunnel_alerts,
    unapplied_alerts,
)
from gateway.observe.certificates import Certificates
from gateway.observe.failures import FailingRotations
from gateway.observe.fence import FenceWatch
from gateway.observe.growth import Growth
from gateway.observe.kmes import KMEWatch
from gateway.observe.store import StoreWatch
from gateway.observe.unknown_peers import UnknownPeers
from gateway.relay.service import Relaying
from gateway.supply.links import Links
from gateway.tunnels.upkeep import Upkeep

if TYPE_CHECKING:
    from gateway.dataplane.fence.guard import FenceGuard
    from gateway.dataplane.held.restored import Loss

FENCE_PATIENCE: Final = 2.0
"""Seconds a status waits for the planes' thread, which may be busy; then it shows what
was last read of the fence."""


class ControlPlane(Protocol):
    """What is looked at of the daemon's endpoint."""

    @property
    def sockets(self) -> ControlSockets:
        """The UDP sockets."""

    @property
    def strangers(self) -> UnknownPeers:
        """Peers that are not configured."""


class Oversight:
    """Watches what nobody else does, and gathers what the others know.

    Attributes:
        failing: Rotations that fail.
        fence: What the fence refuses.
        kmes: Whether KMEs answer.
        guard: What keeps the fence, once it runs.
    """

    def __init__(
        self,
        control: ControlPlane,
        links: Links,
        relaying: Relaying,
        fencing: Fencing,
        holding: Upkeep,
        clock: Callable[[], float],
        signs: Iterable[Sign] = (),
    ) -> None:
        self._control = control
        self._links = links
        self._relaying = relaying
        self._holding = holding
        self._clock = clock
        self._losses: Growth[Loss] = Growth()
        self._guarded: Growth[str] = Growth()
        self._certificates = Certificates()
        self.failing = FailingRotations()
        self.guard: FenceGuard | None = None
        self._store = StoreWatch(links.store_fault, signs)
        self.kmes = KMEWatch(links)
        self.fence = FenceWatch(fencing.read, clock)

    async def watch(self, up: Collection[str]) -> None:
        """Look at the fence, now and then; called every few seconds.

        Args:
            up: Tunnels that are up.
        """
        self._note_restored()
        self._store.watch()
        self._control.sockets.unsent.tell()
        await self.fence.look(up, asked=False)

    async def look(self, up: Collection[str]) -> None:
        """Look at the fence now, for somebody who asks."""
        try:
            async with asyncio.timeout(FENCE_PATIENCE):
                await self.fence.look(up)
        except TimeoutError:
            return

    def fence_status(self) -> FenceStatus:
        """Return whether the fence stands."""
        state = self.fence.state
        if state is None:
            return FenceStatus(present=False, reason="not read yet")
        return FenceStatus(present=state.present, reason=state.reason or state.limits)

    async def alerts(
        self,
        config: GatewayConfig,
        tunnels: Sequence[TunnelStatus],
        links: Sequence[LinkStatus],
        unapplied: Mapping[str, GatewayError],
    ) -> list[Alert]:
        """Return everything that is not right, tunnels first."""
        self._note_restored()
        now, sockets = self._clock(), self._control.sockets
        found = [
            *tunnel_alerts(tunnels, self.fence.refused()),
            *unapplied_alerts(unapplied),
            *self._store.alerts(),
            *kernel_alerts(
                self._holding.missing,
                self._losses.recent(now=now),
                sum(self._guarded.recent(now=now).values()),
            ),
            *link_alerts(links, self.kmes.trouble_of),
            *await self._certificates.alerts(self._links.configs.values(), now=now),
            *fence_alerts(self.fence.state, needed=bool(config.tunnels)),
            # A main table may hold all of the Internet's routes.
            *host_alerts(await asyncio.to_thread(check_host, config)),
            *socket_alerts(sockets.absent, sockets.unsent.recent()),
        ]
        if self._relaying.trouble:
            trouble = f"the relay does not run: {self._relaying.trouble}"
            found.append(gateway_alert("warning", AlertKind.RELAY, trouble))
        found += (
            gateway_alert(
                "note",
                AlertKind.STRANGER,
                line,
                "compare fingerprints over the phone: qgw identity show",
            )
            for line in self._control.strangers.recent(now=now)
        )
        found += (
            link_alert(name, "note", AlertKind.SIMULATED, description)
            for name, description in self._links.simulated()
        )
        return found

    def _note_restored(self) -> None:
        """See what others have taken away since the last look."""
        now = self._clock()
        self._losses.note(self._holding.restored, now=now)
        if self.guard is not None:
            self._guarded.note({"fence": self.guard.restored}, now=now)
