"""A hub's whole daemon with a data plane in memory: ``python -m benches.memory_hub``.

Takes the path of a configuration. Everything is the daemon's own: configuration read
from its files, identities, key store, state folder, sockets, tunnel drivers, rotation,
control socket. Only the data plane keeps no kernel busy, and memory is not locked:
that would count what is reserved as if it were used.

Prints its port and public identity, then one JSON object for each line read: resident
bytes, how many tunnels are up, rotations that failed, and datagrams not sent to peers.
"""

import asyncio
import gc
import json
import logging
import os
import sys
from functools import partial
from pathlib import Path

from doubles.fence import FakeFence
from doubles.plane import FakePlane
from doubles.planes import MemoryPlanes

from gateway.acceptance.accept import accept
from gateway.config.model import LogFormat
from gateway.daemon.parts import build
from gateway.daemon.service import Service
from gateway.rotation.phases import TunnelPhase


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class MemoryHub:
    """One daemon that answers lines.

    Attributes:
        service: The daemon's.
    """

    def __init__(self, path: Path) -> None:
        self._plane = FakePlane(auto_receive=True)
        candidate = accept(path, environ={})
        parts = build(
            candidate,
            {},
            make_planes=partial(MemoryPlanes, self._plane),
            fence_opener=FakeFence,
        )
        self.service = Service(candidate, parts, path, {}, log_format=LogFormat.CONSOLE)

    async def run(self) -> None:
        """Serve until standard input ends."""
        service, loop = self.service, asyncio.get_running_loop()
        await service.start()
        loop.add_reader(sys.stdin, self._report)
        public = service.identity.public
        port = service.exchange.sockets.sockets[0].getsockname()[1]
        _say({"port": port, "identity": (public.ecdh + public.kem).hex()})
        await service.run()
        await service.stop()

    def _report(self) -> None:
        if not sys.stdin.readline():
            self.service.request_stop()
            return
        # The plane's record of calls is a tool of tests; no real plane has one.
        self._plane.calls.clear()
        gc.collect()
        drivers = self.service.tunnels.drivers.values()
        up = sum(driver.state.rotation.phase is TunnelPhase.UP for driver in drivers)
        proven = sum(
            driver.state.rotation.current is not None
            and driver.state.rotation.current.local_proof
            for driver in drivers
        )
        exchange = self.service.exchange
        _say(
            {
                "resident": resident_bytes(),
                "up": min(up, proven),
                "failed": sum(driver.state.rotation.failures for driver in drivers),
                "unsent": sum(exchange.sockets.unsent.counts.values()),
                "dropped": exchange.machine.dropped(),
            }
        )


def _say(value: dict[str, object]) -> None:
    print(json.dumps(value), flush=True)


def main() -> None:
    """Run as a program."""
    logging.basicConfig(level=logging.ERROR)
    os.umask(0o077)
    asyncio.run(_serve(Path(sys.argv[1])))


async def _serve(path: Path) -> None:
    """Make the daemon where there is a loop, as its program does."""
    await MemoryHub(path).run()


if __name__ == "__main__":
    main()
