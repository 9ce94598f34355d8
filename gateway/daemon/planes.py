"""The data planes of one daemon: made when the first tunnel needs one."""

import logging

from gateway.config.model import PlaneName
from gateway.daemon.workers import Worker
from gateway.dataplane.base import DataPlane
from gateway.dataplane.choose import PlaneSupport, best_plane, make_plane, probe_planes
from gateway.wire.payloads import PlaneKind

logger = logging.getLogger(__name__)

KINDS = {"esp": PlaneKind.ESP, "wireguard": PlaneKind.WIREGUARD}


class Planes:
    """Opens each plane once, in the planes' own thread."""

    def __init__(self, worker: Worker, wireguard_ports: tuple[int, int]) -> None:
        self._worker = worker
        self._ports = wireguard_ports
        self._open: dict[str, DataPlane] = {}
        self.support: tuple[PlaneSupport, ...] = ()

    async def probe(self) -> None:
        """Find out what this kernel can do."""
        self.support = await self._worker.run(probe_planes)

    async def get(self, wanted: PlaneName) -> DataPlane:
        """Return an open plane; ``auto`` takes the best this kernel can do.

        Raises:
            PlaneUnsupportedError: This kernel lacks it; the hint says what.
            DataPlaneError: It cannot be opened.
        """
        name = wanted.value
        if wanted is PlaneName.AUTO:
            name = best_plane(self.support)
        if name not in self._open:
            plane = make_plane(name, wireguard_ports=self._ports)
            await self._worker.run(plane.open)
            logger.info("data plane %s is open", name)
            self._open[name] = plane
        return self._open[name]

    async def close(self) -> None:
        """Let go of every plane; tunnels stay in the kernel."""
        for plane in self._open.values():
            await self._worker.run(plane.close)
        self._open.clear()
