"""The fence of one daemon: what it must refuse, and how it follows a configuration.

It stands before anything else is made and holds through every change: `prepare`
refuses what the old configuration names and what the new one does, `settle` drops
what only the old one named. A configuration that is refused never gets here.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from gateway.config.model import GatewayConfig
from gateway.dataplane.accepted import AcceptedNetworks
from gateway.dataplane.fence.away import is_to_return
from gateway.dataplane.fence.base import Fence, FencePlan, FenceState, Passage
from gateway.dataplane.fence.connected import Connected, read_connected
from gateway.dataplane.fence.homes import Homes
from gateway.dataplane.fence.plan import (
    Inside,
    acceptable,
    fenced_tunnels,
    lasting,
    networks_inside,
    plan_of,
)
from gateway.dataplane.fence.plan_file import FILE_NAME, read_plan, write_plan
from gateway.errors import GatewayError
from gateway.events.bus import publish
from gateway.events.fence import (
    ConnectedPassed,
    FenceRecordLost,
    FenceRecordUnread,
    FenceRecordUnwritten,
    FenceUnavailable,
    FullTunnelPassed,
    LeaseRefused,
    NetworkUnasked,
)
from gateway.host.workers import Worker

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
        accepted: AcceptedNetworks | None = None,
    ) -> None:
        """Nothing is opened before it is needed.

        Args:
            worker: The planes' thread.
            state_dir: Where the plan is remembered.
            opener: Opens the fence.
            accepted: What the planes ask, too; decided here.
        """
        self._worker = worker
        self._file = state_dir / FILE_NAME
        self._opener = opener
        self._fence: Fence | None = None
        self._config: GatewayConfig | None = None
        self._plan: FencePlan | None = None
        self._accepted = AcceptedNetworks() if accepted is None else accepted
        self._inside = Inside()
        self._homes = Homes(is_to_return)
        self._mark: _Mark | None = None
        self.unrecorded = ""
        self._changing = asyncio.Lock()

    async def prepare(self, config: GatewayConfig) -> None:
        """Refuse what the configuration names, and still what stood before.

        Raises:
            DataPlaneError: The kernel refused; what stood before stands.
        """
        async with self._changing:
            before = self._plan if self._plan is not None else self._stored()
            if not self._accepted.is_decided:
                await self._worker.run(self._remember, config, before)
            plan, _ = await self._worker.run(self._look, config)
            fence = await self.opened()
            await self._worker.run(fence.load, plan, before)
            # Until it is settled, nobody may drop what the old one named.
            self._config = None

    async def settle(
        self, config: GatewayConfig, *, is_asked: bool = False
    ) -> tuple[str, ...]:
        """Refuse what the configuration names and no more; remember it for a boot.

        Returns the networks that pass beside a tunnel now and did not before, without
        a local prefix that speaks of them.

        Args:
            config: The configuration.
            is_asked: Whether an operator has just had it taken in, so that networks
                that are connected here now may pass beside tunnels.

        Raises:
            DataPlaneError: The kernel refused; more than needed is refused.
        """
        async with self._changing:
            if is_asked:
                await self._worker.run(self._accept_all, config)
            before = self._inside.beside
            await self._follow(config)
            return tuple(sorted(self._inside.beside - before))

    async def refresh(self) -> None:
        """Follow this host's addresses: what is connected here is not refused.

        Raises:
            DataPlaneError: The kernel refused.
        """
        async with self._changing:
            if self._config is not None:
                await self._follow(self._config)

    async def expire(self) -> None:
        """Forget networks of this host that went and do not come back.

        Raises:
            DataPlaneError: The kernel refused.
        """
        if await self._worker.run(self._homes.watch):
            await self.refresh()

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
            unfenced=tuple(sorted(self._inside.leased)),
            unasked=tuple(sorted(self._inside.unasked)),
            passed=tuple(sorted(self._inside.passed)),
            usual=tuple(sorted(self._inside.usual)),
        )

    def admissions(self, news: Iterable[str] = ()) -> list[str]:
        """Say which networks of this host pass beside tunnels without being named.

        Args:
            news: Those of which it must be said in a full tunnel, too.
        """
        said = [
            f"{network}, to which this host is connected, lies in a remote prefix and "
            "in no local_subnets: packets for it go past the tunnel, in clear"
            for network in sorted(self._inside.passed)
        ]
        said += (
            f"{network}, to which this host is connected, passes from now on beside "
            "the full tunnel, in clear: if it is not yours, remove the address"
            for network in sorted(self._inside.usual.intersection(news))
        )
        return said

    async def keep_record(self) -> None:
        """Write the record for the next boot anew if it is not as it was left."""
        async with self._changing:
            if self._config is None or self._plan is None:
                return
            found = await self._worker.run(_mark_of, self._file)
            if found is not None and found == self._mark and not self.unrecorded:
                return
            if not self.unrecorded:
                publish(FenceRecordLost(str(self._file), is_removed=found is None))
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
                publish(FenceUnavailable(why))
        return self._fence

    async def _follow(self, config: GatewayConfig) -> None:
        plan, inside = await self._worker.run(self._look, config)
        fence = await self.opened()
        if plan != self._plan or self._config is None:
            await self._worker.run(fence.load, plan)
        if plan != self._plan:
            await self._store(plan)
        self._config, self._plan = config, plan
        self._tell(inside)
        self._inside = inside

    def _tell(self, inside: Inside) -> None:
        """Say once what becomes of networks of this host inside remote prefixes."""
        for network in sorted(inside.leased - self._inside.leased):
            publish(LeaseRefused(network))
        for network in sorted(inside.unasked - self._inside.unasked):
            publish(NetworkUnasked(network))
        for network in sorted(inside.passed - self._inside.passed):
            publish(ConnectedPassed(network))
        for network in sorted(inside.usual - self._inside.usual):
            publish(FullTunnelPassed(network))

    async def _store(self, plan: FencePlan) -> None:
        try:
            await self._worker.run(write_plan, self._file, plan)
            self._mark = await self._worker.run(_mark_of, self._file)
            self.unrecorded = ""
        except GatewayError as error:
            self.unrecorded = error.message
            publish(FenceRecordUnwritten(error.message, error.hint))

    def _stored(self) -> FencePlan | None:
        """Return what an earlier run was to refuse."""
        try:
            return read_plan(self._file)
        except GatewayError as error:
            publish(FenceRecordUnread(error.message, error.hint))
            return None

    def _remember(self, config: GatewayConfig, stored: FencePlan | None) -> None:
        """Decide at the start which networks of this host may pass beside tunnels.

        What an operator accepted before, for the same prefixes: a lease is often here
        before the daemon is. With other prefixes it is their first start, and what is
        here counts as well; not alone, for at boot some networks come later.
        """
        tunnels = fenced_tunnels(config)
        networks = () if stored is None else stored.accepted
        if stored is None or stored.tunnels != tunnels:
            networks = (*networks, *_read(config).permanent)
        self._accepted.accept(acceptable(tunnels, networks))

    def _accept_all(self, config: GatewayConfig) -> None:
        """Let what is connected here now pass beside tunnels.

        And what was accepted before, as long as the same prefixes cover it: a cable
        may be out just now.
        """
        self._homes.forget()
        tunnels = fenced_tunnels(config)
        networks = set(_read(config).permanent)
        if self._plan is not None:
            networks |= lasting(self._plan.tunnels, tunnels, self._plan.accepted)
        self._accepted.accept(acceptable(tunnels, networks))

    def _look(self, config: GatewayConfig) -> tuple[FencePlan, Inside]:
        """Return the plan for this host, and its networks inside remote prefixes."""
        connected = _read(config).judged(self._accepted)
        plan = plan_of(config, connected, self._accepted.listed(), self._homes)
        return plan, networks_inside(plan, connected)


def _read(config: GatewayConfig) -> Connected:
    """Read what this host is connected to, the tunnels' own addresses left out."""
    tunnels = config.tunnels.values()
    return read_connected(str(one) for each in tunnels for one in each.addresses)


def _mark_of(path: Path) -> _Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_ctime_ns
