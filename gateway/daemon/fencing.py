"""The fence of one daemon: what it must refuse, and how it follows a configuration.

It stands before anything else is made and holds through every change: `prepare`
refuses what the old configuration names and what the new one does, `settle` drops
what only the old one named. A configuration that is refused never gets here.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from gateway.config.model import GatewayConfig, TunnelConfig
from gateway.daemon.workers import Worker
from gateway.dataplane.fence.base import (
    Fence,
    FencedTunnel,
    FencePlan,
    FenceState,
    Passage,
)
from gateway.dataplane.fence.connected import Connected, read_connected
from gateway.dataplane.fence.plan_file import FILE_NAME, read_plan, write_plan
from gateway.errors import GatewayError

logger = logging.getLogger(__name__)


class Fencing:
    """Keeps the fence as the configuration wants it, in the planes' thread."""

    def __init__(
        self,
        worker: Worker,
        state_dir: Path,
        opener: Callable[[], Fence],
    ) -> None:
        self._worker = worker
        self._file = state_dir / FILE_NAME
        self._opener = opener
        self._fence: Fence | None = None
        self._plan: FencePlan | None = None

    async def prepare(self, config: GatewayConfig) -> None:
        """Refuse what the configuration names, and still what stood before.

        Raises:
            DataPlaneError: The kernel refused; what stood before stands.
        """
        plan = await self._worker.run(_plan, config)
        fence = await self._opened()
        before = self._plan if self._plan is not None else self._stored()
        await self._worker.run(fence.load, plan, before)

    async def settle(self, config: GatewayConfig) -> None:
        """Refuse what the configuration names and no more; remember it for a boot.

        Raises:
            DataPlaneError: The kernel refused; more than needed is refused.
        """
        plan = await self._worker.run(_plan, config)
        fence = await self._opened()
        await self._worker.run(fence.load, plan)
        try:
            await self._worker.run(write_plan, self._file, plan)
        except GatewayError as error:
            logger.warning(
                "%s; %s", error.message, error.hint, extra={"event": "fence-unwritten"}
            )
        self._plan = plan

    async def grant(self, name: str, passage: Passage, seconds: float) -> None:
        """Let a tunnel's packets pass by these ways for so many seconds.

        Raises:
            DataPlaneError: The kernel refused; what was granted before ends as it
                would have.
        """
        fence = await self._opened()
        await self._worker.run_quick(fence.grant, name, passage, seconds)

    async def revoke(self, name: str) -> None:
        """Let nothing pass for a tunnel.

        Raises:
            DataPlaneError: The kernel refused.
        """
        fence = await self._opened()
        await self._worker.run_quick(fence.revoke, name)

    async def read(self) -> FenceState:
        """Read what stands and what it refused.

        Raises:
            DataPlaneError: The kernel refused.
        """
        fence = await self._opened()
        return await self._worker.run(fence.read)

    async def close(self) -> None:
        """Let go of sockets; the fence stays."""
        if self._fence is not None:
            await self._worker.run(self._fence.close)

    async def _opened(self) -> Fence:
        if self._fence is None:
            self._fence = await self._worker.run(self._opener)
            state = await self._worker.run(self._fence.read)
            if state.reason:
                logger.warning(
                    "no fence: %s", state.reason, extra={"event": "fence-unavailable"}
                )
        return self._fence

    def _stored(self) -> FencePlan | None:
        """Return what an earlier run was to refuse."""
        try:
            return read_plan(self._file)
        except GatewayError as error:
            logger.warning(
                "%s; %s", error.message, error.hint, extra={"event": "fence-unread"}
            )
            return None


def _plan(config: GatewayConfig) -> FencePlan:
    inside = [str(a) for tunnel in config.tunnels.values() for a in tunnel.addresses]
    return plan_of(config, read_connected(inside))


def plan_of(config: GatewayConfig, connected: Connected) -> FencePlan:
    """Return what a configuration's fence refuses: every tunnel, enabled or not."""
    ports = {endpoint.port for endpoint in config.listen} | set(config.wireguard_ports)
    return FencePlan(
        tunnels=tuple(map(_fenced, config.tunnels.values())),
        exempt=connected.permanent,
        ports=tuple(sorted(ports)),
    )


def _fenced(tunnel: TunnelConfig) -> FencedTunnel:
    """Return a tunnel's prefixes, with the networks inside that it shares."""
    local = tuple(map(str, tunnel.local_subnets))
    inside = (address.network for address in tunnel.addresses)
    shared = (str(each) for each in inside if each.num_addresses > 1)
    remote = dict.fromkeys((*map(str, tunnel.remote_subnets), *shared))
    return FencedTunnel(
        tunnel.name, tuple(each for each in remote if each not in local), local
    )
