"""The data planes of one daemon: made when the first tunnel needs one."""

from gateway.acceptance.host import Options, look_for_planes
from gateway.config.model import PlaneName
from gateway.dataplane.accepted import AcceptedNetworks
from gateway.dataplane.base import DataPlane
from gateway.dataplane.choose import (
    PlaneOption,
    available_planes,
    best_plane,
    make_plane,
)
from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.held.restored import Restoration, Scope
from gateway.events.bus import publish
from gateway.events.tunnels import PlaneOpened
from gateway.host.workers import Worker


class Planes:
    """Opens each plane once, in the planes' own thread."""

    def __init__(
        self,
        worker: Worker,
        wireguard_ports: tuple[int, int],
        accepted: AcceptedNetworks,
    ) -> None:
        self._accepted = accepted
        self._worker = worker
        self._ports = wireguard_ports
        self._open: dict[str, DataPlane] = {}
        self._options: tuple[PlaneOption, ...] = ()
        self._best = ""
        self._keeper: Keeper | None = None

    async def options(self) -> tuple[PlaneOption, ...]:
        """Return what this kernel can do; found out when first asked."""
        if not self._options:
            self._options = await self._worker.run(available_planes)
        return self._options

    @property
    def auto(self) -> PlaneName:
        """The plane that ``auto`` stands for, or ``auto`` while no tunnel has asked."""
        return PlaneName(self._best or PlaneName.AUTO)

    async def look(self, wanted: frozenset[PlaneName]) -> Options:
        """Find out anew whether this host can run planes; those that are open can."""
        auto = PlaneName.AUTO
        found = {
            plane: PlaneOption(self._best if plane is auto else plane.value)
            for plane in wanted
            if (self._best if plane is auto else plane.value in self._open)
        }
        new = wanted - found.keys()
        if new:
            found |= await self._worker.run(look_for_planes, new)
        if auto in new and found[auto].works:
            self._best = found[auto].name
        return found

    async def get(self, wanted: PlaneName) -> DataPlane:
        """Return an open plane; ``auto`` takes the best this kernel can do.

        Raises:
            PlaneUnsupportedError: This kernel lacks it; the hint says what.
            DataPlaneError: It cannot be opened.
        """
        name = wanted.value
        if wanted is PlaneName.AUTO:
            # Once and for all: a better one must not move tunnels under way.
            self._best = name = self._best or await self._worker.run(best_plane)
        if name not in self._open:
            if self._keeper is None:
                self._keeper = await self._worker.run(Keeper, self._accepted)
            plane = make_plane(name, self._ports, self._keeper)
            await self._worker.run(plane.open)
            publish(PlaneOpened(name))
            self._open[name] = plane
        return self._open[name]

    async def move_ports(self, wireguard_ports: tuple[int, int]) -> None:
        """Have planes listen on other UDP ports; sessions stay.

        Raises:
            DataPlaneError: One of them is taken; those in use stay so.
        """
        if wireguard_ports == self._ports:
            return
        for plane in tuple(self._open.values()):
            await self._worker.run(plane.listen_on, wireguard_ports)
        self._ports = wireguard_ports

    @property
    def opened(self) -> tuple[str, ...]:
        """Names of the planes that are open."""
        return tuple(self._open)

    def settle(self) -> None:
        """Say that every tunnel was added: what an earlier run left over may go."""
        if self._keeper is not None:
            self._keeper.settle()

    async def restore(self, scope: Scope) -> Restoration:
        """Put back what is missing of every plane's tunnels. See `DataPlane.restore`.

        Raises:
            DataPlaneError: The kernel cannot be read.
        """
        found = Restoration()
        for plane in tuple(self._open.values()):
            found.add(await self._worker.run(plane.restore, scope))
        return found

    async def check(self) -> Restoration:
        """Look for changes of which nothing notifies. See `DataPlane.look`.

        Raises:
            DataPlaneError: A plane cannot be asked.
        """
        found = Restoration()
        for plane in tuple(self._open.values()):
            run = self._worker.run_quick if plane.quick else self._worker.run
            found.add(await run(plane.look))
        return found

    def ports(self) -> tuple[int, ...]:
        """Return the netlink port ids under which our own changes are notified."""
        own = () if self._keeper is None else (self._keeper.port,)
        return own + tuple(p for plane in self._open.values() for p in plane.ports())

    async def close(self) -> None:
        """Let go of every plane; tunnels stay in the kernel."""
        for plane in self._open.values():
            await self._worker.run(plane.close)
        self._open.clear()
        if self._keeper is not None:
            await self._worker.run(self._keeper.close)
            self._keeper = None
