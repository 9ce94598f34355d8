"""What each request at the control socket does."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from gateway import __version__
from gateway.control.params import (
    read_flag,
    read_import,
    read_name,
    read_optional_name,
    refuse_unknown,
)
from gateway.control.schema import (
    ErrorCode,
    IdentityStatus,
    ImportResult,
    InForce,
    LinkStatus,
    Method,
    PlaneStatus,
    PurgeResult,
    RefusedKey,
    StatusResult,
    TunnelStatus,
)
from gateway.control.server import Handler
from gateway.crypto.identity import format_fingerprint
from gateway.daemon.network_handlers import NetworkHandlers
from gateway.daemon.qkd_handlers import QKDHandlers
from gateway.daemon.report import report_link, report_tunnel
from gateway.errors import ControlError, GatewayError
from gateway.keystore.alarms import StockAlarm
from gateway.keystore.container import parse_container
from gateway.wire.control import RotateReason

if TYPE_CHECKING:
    from gateway.config.model import TunnelConfig
    from gateway.daemon.service import Service
    from gateway.daemon.tunnel import TunnelDriver

Params = Mapping[str, object]
P = ParamSpec("P")
R = TypeVar("R")


class Handlers:
    """Reads and steers one service."""

    def __init__(self, service: "Service") -> None:
        self._service = service

    def table(self) -> dict[str, Handler]:
        """Return the handlers by method name."""
        return {
            Method.STATUS: self.status,
            Method.TUNNEL_LIST: self.tunnel_list,
            Method.TUNNEL_SHOW: self.tunnel_show,
            Method.TUNNEL_UP: self.tunnel_up,
            Method.TUNNEL_DOWN: self.tunnel_down,
            Method.TUNNEL_ROTATE: self.tunnel_rotate,
            Method.RELOAD: self.reload,
            Method.KEYSTORE_STATUS: self.keystore_status,
            Method.KEYSTORE_IMPORT: self.keystore_import,
            Method.KEYSTORE_PURGE: self.keystore_purge,
            Method.IDENTITY_SHOW: self.identity_show,
            **QKDHandlers(self._service).table(),
            **NetworkHandlers(self._service).table(),
        }

    # -- Reading

    async def status(self, params: Params) -> StatusResult:
        """Describe the whole gateway."""
        refuse_unknown(params, set())
        service = self._service
        now = asyncio.get_running_loop().time()
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
            dropped=service.exchange.machine.dropped(),
            tunnels=self._tunnels(),
            links=await self._links(None),
            warnings=self._warnings(),
        )

    async def tunnel_list(self, params: Params) -> list[TunnelStatus]:
        """Describe every tunnel, by name."""
        refuse_unknown(params, set())
        return self._tunnels()

    async def tunnel_show(self, params: Params) -> TunnelStatus:
        """Describe one tunnel."""
        refuse_unknown(params, {"name"})
        name = read_name(params)
        for status in self._tunnels():
            if status["name"] == name:
                return status
        raise _no_tunnel(name)

    async def keystore_status(self, params: Params) -> list[LinkStatus]:
        """Describe one link's stock, or every link's."""
        refuse_unknown(params, {"link"})
        return await self._links(read_optional_name(params, "link"))

    async def identity_show(self, params: Params) -> IdentityStatus:
        """Describe our identity."""
        refuse_unknown(params, set())
        return self._identity()

    # -- Steering

    async def tunnel_up(self, params: Params) -> TunnelStatus:
        """Bring a tunnel up."""
        await self._driver(params).bring_up()
        return await self.tunnel_show(params)

    async def tunnel_down(self, params: Params) -> TunnelStatus:
        """Take a tunnel down."""
        self._driver(params).take_down()
        return await self.tunnel_show(params)

    async def tunnel_rotate(self, params: Params) -> TunnelStatus:
        """Rotate a tunnel now."""
        driver = self._driver(params)
        if driver.state.rotation.phase.value == "down":
            raise ControlError(
                f"tunnel {driver.name} is down",
                f"bring it up first: qgw tunnel up {driver.name}",
            )
        driver.rotate(RotateReason.OPERATOR)
        return await self.tunnel_show(params)

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
        container = {
            "keys": [{"key_ID": key.key_id, "key": key.key} for key in request.keys]
        }
        parsed = parse_container(json.dumps(container))
        report = await self._store_call(
            self._service.store.add,
            request.link,
            parsed.keys,
            lifetime=config.key_lifetime,
            # Not offered before the peer is known to have imported them too.
            confirmed=False,
        )
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
        erased = await self._store_call(
            store.purge, link, all_keys=read_flag(params, "all")
        )
        self._service.links.changed_by_hand(link)
        return PurgeResult(erased=erased)

    # -- Inside

    def _identity(self) -> IdentityStatus:
        public = self._service.identity.public
        return IdentityStatus(
            fingerprint=format_fingerprint(public.fingerprint), suite=public.suite_id
        )

    def _driver(self, params: Params) -> "TunnelDriver":
        refuse_unknown(params, {"name"})
        name = read_name(params)
        driver = self._service.drivers.get(name)
        if driver is not None:
            return driver
        failure = self._service.failed.get(name)
        if failure is not None:
            raise failure
        raise _no_tunnel(name)

    def _tunnels(self) -> list[TunnelStatus]:
        service = self._service
        now = asyncio.get_running_loop().time()
        machine = service.exchange.machine
        found = [
            report_tunnel(driver.state, machine.peer_address(name), now=now)
            for name, driver in service.drivers.items()
        ]
        found += [
            _report_failed(service.config.tunnels[name], error, service)
            for name, error in service.failed.items()
            if name in service.config.tunnels
        ]
        return sorted(found, key=lambda status: status["name"])

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

    def _warnings(self) -> list[str]:
        service = self._service
        found = [
            f"tunnel {name} cannot start: {error.message}"
            for name, error in sorted(service.failed.items())
        ]
        if service.relaying.trouble:
            found.append(f"the relay does not run: {service.relaying.trouble}")
        found += service.exchange.strangers.recent(
            now=asyncio.get_running_loop().time()
        )
        found += [
            f"stock of link {name} is {alarm.value}"
            for name, alarm in sorted(service.links.alarms.items())
            if alarm is not StockAlarm.OK
        ]
        found += service.links.simulated()
        found += service.exchange.sockets.warnings()
        return found

    async def _store_call(
        self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return await self._service.store_worker.run(call, *args, **kwargs)


def _no_tunnel(name: str) -> ControlError:
    return ControlError(
        f"there is no tunnel named {name}",
        "see them all: qgw tunnel list",
        code=ErrorCode.NOT_FOUND,
    )


def _report_failed(
    config: "TunnelConfig", error: GatewayError, service: "Service"
) -> TunnelStatus:
    """Describe a tunnel that could not start."""
    return TunnelStatus(
        name=config.name,
        state="down",
        reason=error.message,
        hint=error.hint,
        role=config.role.value,
        peer="",
        endpoint=str(config.endpoint) if config.endpoint else None,
        plane=config.plane.value,
        interface=config.interface,
        suite=service.identity.suite.id,
        qkd=config.qkd.value,
        qkd_every=config.qkd_every,
        peer_qkd=None,
        peer_qkd_every=None,
        link=config.link,
        epoch=None,
        in_force=InForce(local=False, peer=False, since_s=None),
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
        faults=[error.message],
    )
