"""The ``tunnel.`` requests of the control socket."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from gateway.control.params import read_name, refuse_unknown
from gateway.control.schema import ErrorCode, Method, TunnelDetails, TunnelStatus
from gateway.control.server import Handler
from gateway.dataplane.view import TunnelView
from gateway.errors import ControlError, DataPlaneError
from gateway.observe.status import (
    TunnelSurroundings,
    report_details,
    report_tunnel,
    report_unstarted,
)
from gateway.wire.control import RotateReason

if TYPE_CHECKING:
    from gateway.config.model import GatewayConfig
    from gateway.crypto.identity import PrivateIdentity
    from gateway.daemon.endpoint import Exchange
    from gateway.observe.oversight import Oversight
    from gateway.tunnels.driver import TunnelDriver
    from gateway.tunnels.set import TunnelSet
    from gateway.tunnels.upkeep import Upkeep

Params = Mapping[str, object]


class TunnelsOfGateway(Protocol):
    """What requests about tunnels need of the daemon."""

    tunnels: "TunnelSet"
    exchange: "Exchange"
    holding: "Upkeep"
    oversight: "Oversight"

    @property
    def config(self) -> "GatewayConfig":
        """The configuration in force."""

    @property
    def identity(self) -> "PrivateIdentity":
        """Our own identity."""


class TunnelHandlers:
    """Shows and steers the tunnels of one gateway."""

    def __init__(self, gateway: TunnelsOfGateway) -> None:
        self._gateway = gateway

    def table(self) -> dict[str, Handler]:
        """Return the handlers by method name."""
        return {
            Method.TUNNEL_LIST: self.list,
            Method.TUNNEL_SHOW: self.show,
            Method.TUNNEL_UP: self.up,
            Method.TUNNEL_DOWN: self.down,
            Method.TUNNEL_ROTATE: self.rotate,
        }

    def statuses(self) -> list[TunnelStatus]:
        """Describe every tunnel, by name, as last read from the kernel."""
        gateway = self._gateway
        unsent = ", ".join(gateway.exchange.sockets.unsent.recent_reasons())
        found = [self._status(one, unsent) for one in gateway.tunnels.drivers.values()]
        fence = gateway.oversight.fence.state
        found += [
            report_unstarted(
                gateway.config.tunnels[name],
                error,
                suite=gateway.identity.suite.id,
                fenced=fence is not None and fence.present,
            )
            for name, error in gateway.tunnels.failed.items()
            if name in gateway.config.tunnels
        ]
        return sorted(found, key=lambda status: status["name"])

    async def list(self, params: Params) -> list[TunnelStatus]:
        """Describe every tunnel, by name."""
        refuse_unknown(params, set())
        return self.statuses()

    async def show(self, params: Params) -> TunnelDetails:
        """Describe one tunnel, as it is in the kernel now."""
        refuse_unknown(params, {"name"})
        name, gateway = read_name(params), self._gateway
        driver = gateway.tunnels.drivers.get(name)
        config = gateway.config.tunnels.get(name)
        await gateway.oversight.look(gateway.tunnels.up())
        view = TunnelView() if driver is None else await _look(driver)
        # Only now: what was read of the kernel is in it.
        for status in self.statuses():
            if status["name"] == name and config is not None:
                address = self._address(name) if driver is not None else None
                fence = gateway.oversight.fence.of(name)
                # What status tells in an alert of its own is a fault here.
                status["faults"] += gateway.holding.missing_of(name)
                return report_details(status, config, view, fence, address)
        raise _no_tunnel(name)

    async def up(self, params: Params) -> TunnelDetails:
        """Bring a tunnel up."""
        await self._driver(params).bring_up()
        return await self.show(params)

    async def down(self, params: Params) -> TunnelDetails:
        """Take a tunnel down."""
        driver = self._driver(params)
        driver.take_down()
        self._gateway.oversight.failing.forget(driver.name)
        return await self.show(params)

    async def rotate(self, params: Params) -> TunnelDetails:
        """Rotate a tunnel now."""
        driver = self._driver(params)
        if driver.state.is_down():
            raise ControlError(
                f"tunnel {driver.name} is down",
                f"bring it up first: qgw tunnel up {driver.name}",
            )
        driver.rotate(RotateReason.OPERATOR)
        return await self.show(params)

    def _status(self, driver: "TunnelDriver", unsent: str) -> TunnelStatus:
        gateway, link = self._gateway, driver.state.config.link or ""
        error, hint = gateway.oversight.kmes.trouble_of(link)
        around = TunnelSurroundings(
            address=self._address(driver.name),
            failing=gateway.oversight.failing.get(driver.name),
            link_hint=hint if error else "",
            unsent=unsent,
            now=asyncio.get_running_loop().time(),
        )
        return report_tunnel(driver.state, around)

    def _address(self, name: str) -> object:
        return self._gateway.exchange.machine.peer_address(name)

    def _driver(self, params: Params) -> "TunnelDriver":
        refuse_unknown(params, {"name"})
        name = read_name(params)
        driver = self._gateway.tunnels.drivers.get(name)
        if driver is not None:
            return driver
        failure = self._gateway.tunnels.failed.get(name)
        if failure is not None:
            raise failure
        raise _no_tunnel(name)


async def _look(driver: "TunnelDriver") -> TunnelView:
    """Read counters and what is real; a plane that objects has left its fault."""
    try:
        await driver.state.plane.read()
        return await driver.state.plane.describe()
    except DataPlaneError:
        return TunnelView()


def _no_tunnel(name: str) -> ControlError:
    return ControlError(
        f"there is no tunnel named {name}",
        "see them all: qgw tunnel list",
        code=ErrorCode.NOT_FOUND,
    )
