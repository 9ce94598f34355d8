"""Requests about the whole gateway, and the table of all requests."""

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from gateway import __version__
from gateway.control.params import (
    read_count,
    refuse_unknown,
)
from gateway.control.protocol import MAX_REQUEST_ID
from gateway.control.schema import (
    Approval,
    ApproveResult,
    IdentityStatus,
    Method,
    PlaneStatus,
    StatusResult,
)
from gateway.control.server import Handler
from gateway.crypto.identity import format_fingerprint
from gateway.daemon.api.keystore import KeystoreHandlers
from gateway.daemon.api.network import NetworkHandlers
from gateway.daemon.api.qkd import QKDHandlers
from gateway.daemon.api.tunnels import TunnelHandlers, TunnelsOfGateway
from gateway.observe.alerts import alert_line, approval_alerts

if TYPE_CHECKING:
    from gateway.control.approvals import Approvals
    from gateway.control.schema import ReloadResult
    from gateway.host.workers import Worker
    from gateway.keystore.base import KeyStore
    from gateway.relay.service import Relaying
    from gateway.supply.links import Links
    from gateway.tunnels.planes import Planes

Params = Mapping[str, object]


class Gateway(TunnelsOfGateway, Protocol):
    """What requests need of the daemon."""

    approvals: "Approvals"
    links: "Links"
    planes: "Planes"
    provider: str
    relaying: "Relaying"
    started_at: float
    store_worker: "Worker"

    @property
    def store(self) -> "KeyStore":
        """The key store; called only through `store_worker`."""

    async def reload(self) -> "ReloadResult":
        """Read the configuration again."""


class Handlers:
    """Reads and steers one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._tunnels = TunnelHandlers(gateway)
        self._keystore = KeystoreHandlers(
            gateway.store, gateway.store_worker, gateway.links, gateway.approvals
        )

    def table(self) -> dict[str, Handler]:
        """Return the handlers by method name."""
        gateway = self._gateway
        return {
            Method.STATUS: self.status,
            Method.RELOAD: self.reload,
            Method.IDENTITY_SHOW: self.identity_show,
            Method.APPROVALS: self.approvals,
            Method.APPROVE: self.approve,
            **self._tunnels.table(),
            **self._keystore.table(),
            **QKDHandlers(gateway.links, gateway.tunnels).table(),
            **NetworkHandlers(gateway.relaying, gateway.links).table(),
        }

    # -- Reading

    async def status(self, params: Params) -> StatusResult:
        """Describe the whole gateway."""
        refuse_unknown(params, set())
        gateway = self._gateway
        now = asyncio.get_running_loop().time()
        await gateway.oversight.look(gateway.tunnels.up())
        tunnels, links = self._tunnels.statuses(), await self._keystore.links(None)
        alerts = await gateway.oversight.alerts(
            gateway.config, tunnels, links, gateway.tunnels.unapplied
        )
        alerts += approval_alerts(gateway.approvals.waiting())
        return StatusResult(
            version=__version__,
            pid=os.getpid(),
            uptime_s=now - gateway.started_at,
            identity=self._identity(),
            kem_provider=gateway.provider,
            listen=[str(endpoint) for endpoint in gateway.config.listen],
            planes=[
                PlaneStatus(
                    plane=option.name,
                    supported=option.works,
                    detail="; ".join(filter(None, (option.reason, option.hint))),
                )
                for option in await gateway.planes.options()
            ],
            dropped=gateway.exchange.machine.dropped()
            | gateway.exchange.sockets.dropped(),
            tunnels=tunnels,
            links=links,
            fence=gateway.oversight.fence_status(),
            alerts=alerts,
            warnings=[alert_line(alert) for alert in alerts],
        )

    async def identity_show(self, params: Params) -> IdentityStatus:
        """Describe our identity."""
        refuse_unknown(params, set())
        return self._identity()

    # -- Steering

    async def reload(self, params: Params) -> object:
        """Read the configuration again."""
        refuse_unknown(params, set())
        return await self._gateway.reload()

    async def approvals(self, params: Params) -> list[Approval]:
        """List what waits for a second person."""
        refuse_unknown(params, set())
        return self._gateway.approvals.waiting()

    async def approve(self, params: Params) -> ApproveResult:
        """Do what another user asked for."""
        refuse_unknown(params, {"id"})
        number = read_count(params, "id", MAX_REQUEST_ID)
        with self._gateway.approvals.confirm(number or 0) as pending:
            result = await self.table()[pending.method](pending.params)
        return ApproveResult(
            act=pending.act,
            what=pending.words,
            asked_by=pending.asked_by.name,
            result=result,
        )

    # -- Inside

    def _identity(self) -> IdentityStatus:
        public = self._gateway.identity.public
        return IdentityStatus(
            fingerprint=format_fingerprint(public.fingerprint), suite=public.suite_id
        )
