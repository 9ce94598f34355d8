"""The fence of one daemon: what it must refuse, and how it follows a configuration.

It stands before anything else is made and holds through every change: `prepare`
refuses what the old configuration names and what the new one does, `settle` drops
what only the old one named. A configuration that is refused never gets here.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.config.model import GatewayConfig
from gateway.dataplane.fence.base import Fence, FencePlan, FenceState, Passage
from gateway.dataplane.fence.connected import read_connected
from gateway.dataplane.fence.homes import Homes
from gateway.dataplane.fence.plan import leased_inside, passed_inside, plan_of
from gateway.dataplane.fence.plan_file import FILE_NAME, read_plan, write_plan
from gateway.errors import GatewayError
from gateway.host.workers import Worker

logger = logging.getLogger(__name__)


_Mark = tuple[int, int, int]
"""A file's inode, size in bytes and time of change: nobody sets the last one back."""


class Fencing:
    """Keeps the fence as the configuration wants it, in the planes' thread.

    Attributes:
        unrecorded: Why the record for the next boot is not written; empty if it is.
    """

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
        self._config: GatewayConfig | None = None
        self._plan: FencePlan | None = None
        self._leased: frozenset[str] = frozenset()
        self._passed: frozenset[str] = frozenset()
        self._homes = Homes()
        self._mark: _Mark | None = None
        self.unrecorded = ""
        self._changing = asyncio.Lock()

    async def prepare(self, config: GatewayConfig) -> None:
        """Refuse what the configuration names, and still what stood before.

        Raises:
            DataPlaneError: The kernel refused; what stood before stands.
        """
        async with self._changing:
            plan, _, _ = await self._worker.run(self._look, config)
            fence = await self.opened()
            before = self._plan if self._plan is not None else self._stored()
            await self._worker.run(fence.load, plan, before)
            # Until it is settled, nobody may drop what the old one named.
            self._config = None

    async def settle(self, config: GatewayConfig) -> None:
        """Refuse what the configuration names and no more; remember it for a boot.

        Raises:
            DataPlaneError: The kernel refused; more than needed is refused.
        """
        async with self._changing:
            await self._follow(config)

    async def refresh(self) -> None:
        """Follow this host's addresses: what is connected here is not refused.

        Raises:
            DataPlaneError: The kernel refused.
        """
        async with self._changing:
            if self._config is not None:
                await self._follow(self._config)

    async def repair(self, *, touched: bool) -> bool:
        """Restore what others changed; return whether they had.

        Args:
            touched: Whether somebody is known to have changed something.

        Raises:
            DataPlaneError: The kernel refused.
        """
        fence = await self.opened()
        run = self._worker.run if touched else self._worker.run_quick
        return await run(fence.repair, touched=touched)

    async def grant(self, name: str, passage: Passage, seconds: float) -> None:
        """Let a tunnel's packets pass by these ways for so many seconds.

        Raises:
            DataPlaneError: The kernel refused; what was granted before ends as it
                would have.
        """
        fence = await self.opened()
        await self._worker.run_quick(fence.grant, name, passage, seconds)

    async def revoke(self, name: str) -> None:
        """Let nothing pass for a tunnel.

        Raises:
            DataPlaneError: The kernel refused.
        """
        fence = await self.opened()
        await self._worker.run_quick(fence.revoke, name)

    async def read(self) -> FenceState:
        """Read what stands and what it refused.

        Raises:
            DataPlaneError: The kernel refused.
        """
        fence = await self.opened()
        state = await self._worker.run(fence.read)
        state = replace(state, unrecorded=self.unrecorded)
        if not state.present:
            return state
        return replace(
            state,
            unfenced=tuple(sorted(self._leased)),
            passed=tuple(sorted(self._passed)),
        )

    async def keep_record(self) -> None:
        """Write the record for the next boot anew if it is not as it was left."""
        async with self._changing:
            if self._config is None or self._plan is None:
                return
            found = await self._worker.run(_mark_of, self._file)
            if found is not None and found == self._mark and not self.unrecorded:
                return
            if not self.unrecorded:
                logger.warning(
                    "%s was %s by another program; it is written anew",
                    self._file,
                    "removed" if found is None else "changed",
                    extra={"event": "fence-record-lost"},
                )
            await self._store(self._plan)

    async def close(self) -> None:
        """Let go of sockets; the fence stays."""
        if self._fence is not None:
            await self._worker.run(self._fence.close)

    async def opened(self) -> Fence:
        """Return the fence, opened when it is first needed."""
        if self._fence is None:
            self._fence = await self._worker.run(self._opener)
            state = await self._worker.run(self._fence.read)
            if why := state.reason or state.limits:
                logger.warning(
                    "no fence of nftables: %s",
                    why,
                    extra={"event": "fence-unavailable"},
                )
        return self._fence

    async def _follow(self, config: GatewayConfig) -> None:
        plan, leased, passed = await self._worker.run(self._look, config)
        fence = await self.opened()
        if plan != self._plan or self._config is None:
            await self._worker.run(fence.load, plan)
        if plan != self._plan:
            await self._store(plan)
        self._config, self._plan = config, plan
        for network in sorted(leased - self._leased):
            logger.warning(
                "network %s, which this host has by DHCP or router advertisement, "
                "lies in a remote prefix: its hosts are refused; to reach them, add "
                "it to local_subnets or give this host a permanent address there",
                network,
                extra={"event": "fence-leased"},
            )
        for network in sorted(passed - self._passed):
            logger.warning(
                "network %s, which this host is connected to, lies in a remote prefix: "
                "packets for it go past the tunnel, in clear; if it is yours, add it "
                "to local_subnets, else remove the address",
                network,
                extra={"event": "fence-passed"},
            )
        self._leased, self._passed = leased, passed

    async def _store(self, plan: FencePlan) -> None:
        try:
            await self._worker.run(write_plan, self._file, plan)
            self._mark = await self._worker.run(_mark_of, self._file)
            self.unrecorded = ""
        except GatewayError as error:
            self.unrecorded = error.message
            logger.warning(
                "%s; %s", error.message, error.hint, extra={"event": "fence-unwritten"}
            )

    def _stored(self) -> FencePlan | None:
        """Return what an earlier run was to refuse."""
        try:
            return read_plan(self._file)
        except GatewayError as error:
            logger.warning(
                "%s; %s", error.message, error.hint, extra={"event": "fence-unread"}
            )
            return None

    def _look(
        self, config: GatewayConfig
    ) -> tuple[FencePlan, frozenset[str], frozenset[str]]:
        """Return the plan for this host, and networks it refuses or passes unasked."""
        inside = [
            str(address)
            for tunnel in config.tunnels.values()
            for address in tunnel.addresses
        ]
        connected = read_connected(inside)
        plan = plan_of(config, connected, self._homes)
        return (
            plan,
            leased_inside(plan, connected),
            passed_inside(plan, connected),
        )


def _mark_of(path: Path) -> _Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_ctime_ns
