"""What each request at the control socket does."""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from gateway import __version__
from gateway.config.model import SecondPerson
from gateway.control.params import (
    read_count,
    read_flag,
    read_import,
    read_name,
    read_optional_name,
    refuse_unknown,
)
from gateway.control.protocol import MAX_REQUEST_ID
from gateway.control.schema import (
    Approval,
    ApproveResult,
    ErrorCode,
    IdentityStatus,
    ImportResult,
    LinkStatus,
    Method,
    PlaneStatus,
    PurgeResult,
    RefusedKey,
    StatusResult,
)
from gateway.control.server import Handler
from gateway.crypto.identity import format_fingerprint
from gateway.daemon.api.network import NetworkHandlers
from gateway.daemon.api.qkd import QKDHandlers
from gateway.daemon.api.tunnels import TunnelHandlers
from gateway.errors import ControlError
from gateway.keystore.container import take_keys
from gateway.observe.alerts import alert_line
from gateway.observe.status import report_link
from gateway.supply.alarms import StockAlarm

if TYPE_CHECKING:
    from gateway.daemon.service import Service

Params = Mapping[str, object]
P = ParamSpec("P")
R = TypeVar("R")


class Handlers:
    """Reads and steers one service."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._tunnels = TunnelHandlers(service)

    def table(self) -> dict[str, Handler]:
        """Return the handlers by method name."""
        return {
            Method.STATUS: self.status,
            Method.RELOAD: self.reload,
            Method.KEYSTORE_STATUS: self.keystore_status,
            Method.KEYSTORE_IMPORT: self.keystore_import,
            Method.KEYSTORE_PURGE: self.keystore_purge,
            Method.IDENTITY_SHOW: self.identity_show,
            Method.APPROVALS: self.approvals,
            Method.APPROVE: self.approve,
            **self._tunnels.table(),
            **QKDHandlers(self._service).table(),
            **NetworkHandlers(self._service).table(),
        }

    # -- Reading

    async def status(self, params: Params) -> StatusResult:
        """Describe the whole gateway."""
        refuse_unknown(params, set())
        service = self._service
        now = asyncio.get_running_loop().time()
        await service.oversight.look(service.up())
        tunnels, links = self._tunnels.statuses(), await self._links(None)
        alerts = await service.oversight.alerts(
            service.config, tunnels, links, service.unapplied
        )
        return StatusResult(
            version=__version__,
            pid=os.getpid(),
            uptime_s=now - service.started_at,
            identity=self._identity(),
            kem_provider=service.provider,
            listen=[str(endpoint) for endpoint in service.config.listen],
            planes=[
                PlaneStatus(
                    plane=option.name,
                    supported=option.works,
                    detail="; ".join(filter(None, (option.reason, option.hint))),
                )
                for option in await service.planes.options()
            ],
            dropped=service.exchange.machine.dropped()
            | service.exchange.sockets.dropped(),
            tunnels=tunnels,
            links=links,
            fence=service.oversight.fence_status(),
            alerts=alerts,
            warnings=[alert_line(alert) for alert in alerts],
        )

    async def keystore_status(self, params: Params) -> list[LinkStatus]:
        """Describe one link's stock, or every link's."""
        refuse_unknown(params, {"link"})
        return await self._links(read_optional_name(params, "link"))

    async def identity_show(self, params: Params) -> IdentityStatus:
        """Describe our identity."""
        refuse_unknown(params, set())
        return self._identity()

    # -- Steering

    async def reload(self, params: Params) -> object:
        """Read the configuration again."""
        refuse_unknown(params, set())
        return await self._service.reload()

    async def keystore_import(self, params: Params) -> ImportResult:
        """Take keys into a link's stock."""
        request = read_import(params)
        config = self._service.links.configs.get(request.link)
        if config is None:
            raise ControlError(
                f"no link named {request.link} is configured",
                "add [links.NAME] to gateway.toml, then: qgw reload",
                code=ErrorCode.NOT_FOUND,
            )
        parsed = take_keys((key.key_id, key.key) for key in request.keys)
        try:
            report = await self._store_call(
                self._service.store.add,
                request.link,
                parsed.keys,
                lifetime=config.key_lifetime,
                # Not offered before the peer is known to have imported them too.
                confirmed=False,
            )
        finally:
            for key in request.keys:
                if key.key is not None:
                    key.key.wipe()
        self._service.links.changed_by_hand(request.link)
        await self._service.links.refresh(request.link)
        return ImportResult(
            added=report.added,
            refused=[
                RefusedKey(key_id=refusal.key_id, reason=refusal.reason)
                for refusal in (*parsed.refused, *report.refused)
            ],
        )

    async def keystore_purge(self, params: Params) -> PurgeResult:
        """Erase expired or all unused keys of a link."""
        refuse_unknown(params, {"link", "all"})
        store, link = self._service.store, read_name(params, "link")
        all_keys = read_flag(params, "all")
        if all_keys:
            self._service.approvals.require(
                SecondPerson.PURGE,
                f"erase every unused key of link {link}",
                Method.KEYSTORE_PURGE,
                params,
            )
        erased = await self._store_call(store.purge, link, all_keys=all_keys)
        self._service.links.changed_by_hand(link)
        return PurgeResult(erased=erased)

    async def approvals(self, params: Params) -> list[Approval]:
        """List what waits for a second person."""
        refuse_unknown(params, set())
        return self._service.approvals.waiting()

    async def approve(self, params: Params) -> ApproveResult:
        """Do what another user asked for."""
        refuse_unknown(params, {"id"})
        number = read_count(params, "id", MAX_REQUEST_ID)
        with self._service.approvals.confirm(number or 0) as pending:
            result = await self.table()[pending.method](pending.params)
        return ApproveResult(
            act=pending.act,
            what=pending.words,
            asked_by=pending.asked_by.name,
            result=result,
        )

    # -- Inside

    def _identity(self) -> IdentityStatus:
        public = self._service.identity.public
        return IdentityStatus(
            fingerprint=format_fingerprint(public.fingerprint), suite=public.suite_id
        )

    async def _links(self, wanted: str | None) -> list[LinkStatus]:
        service = self._service
        stored = await self._store_call(service.store.links)
        names = sorted({*stored, *service.links.configs})
        if wanted is not None:
            if wanted not in names:
                raise ControlError(
                    f"there is no link named {wanted}",
                    "see them all: qgw keystore status",
                    code=ErrorCode.NOT_FOUND,
                )
            names = [wanted]
        return [
            report_link(
                service.links.configs.get(name),
                await service.links.refresh(name),
                service.links.alarms.get(name, StockAlarm.OK),
            )
            for name in names
        ]

    async def _store_call(
        self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return await self._service.store_worker.run(call, *args, **kwargs)
