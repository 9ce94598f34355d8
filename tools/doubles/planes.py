"""A daemon's data planes, all of them one plane in memory."""

from doubles.plane import FakePlane
from gateway.acceptance.host import Options
from gateway.config.model import PlaneName
from gateway.dataplane.accepted import AcceptedNetworks
from gateway.dataplane.base import DataPlane
from gateway.dataplane.choose import PlaneOption
from gateway.host.workers import Worker
from gateway.tunnels.planes import Planes


class MemoryPlanes(Planes):
    """Planes that open nothing in the kernel."""

    def __init__(
        self,
        plane: FakePlane,
        worker: Worker,
        wireguard_ports: tuple[int, int],
        accepted: AcceptedNetworks,
    ) -> None:
        super().__init__(worker, wireguard_ports, accepted)
        self.plane = plane

    async def move_ports(self, wireguard_ports: tuple[int, int]) -> None:
        """Tell the plane in memory, if they are other ones."""
        if wireguard_ports != self._ports:
            self.plane.listen_on(wireguard_ports)
            self._ports = wireguard_ports

    async def options(self) -> tuple[PlaneOption, ...]:
        """Say that there is one."""
        return (PlaneOption("esp"),)

    @property
    def auto(self) -> PlaneName:
        """What ``auto`` stands for."""
        return PlaneName(self.plane.name)

    @property
    def opened(self) -> tuple[str, ...]:
        """It is open from the start."""
        return (self.plane.name,)

    async def look(self, wanted: frozenset[PlaneName]) -> Options:
        """Say that it can run them all."""
        return {plane: PlaneOption(self.plane.name) for plane in wanted}

    async def get(self, wanted: PlaneName) -> DataPlane:
        """Return the plane in memory, whichever is wanted."""
        del wanted
        return self.plane

    async def close(self) -> None:
        """Close nothing: the plane stands for the kernel, which outlives us."""
