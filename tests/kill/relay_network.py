"""Runs the nodes of a relay and kills them; prints what it did as one JSON object.

Usage: python -m tests.kill.relay_network FOLDER SEED ROUNDS

Each round draws a node from the seed and kills it twice: from outside, at a moment
that is the scheduler's too, and, started again, at a step of its own that is drawn.
Started for the third time it lives, and both ends must soon have new keys. Forking
saves the interpreters' start.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.kill.keystore_victim import draw
from tests.kill.relay_tap import Tap
from tests.kill.relay_victim import ENDS, HOST, LINKS, NAMES, Place, live
from tests.unit.relay.bench import make_pads

PADS = 3000
"""In each stock; a round takes some forty."""

MAX_STEPS = 80
"""A bundle takes some fifteen at each node."""

MAX_LIFE = 0.3
"""Seconds until a kill from outside."""

PATIENCE = 60.0
"""Seconds to die, or to heal."""


def fill(place: Place) -> None:
    """Deliver the same pads to both ends of each link, for each direction."""
    for name in NAMES:
        store = place.store(name)
        for a, b in LINKS:
            for stock in (f"{a}>{b}", f"{b}>{a}"):
                if name in (a, b):
                    store.intake.add(stock, make_pads(stock, 0, PADS))
        store.close()


class Nodes:
    """The processes."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pids: dict[str, int] = {}
        self.kills: Counter[str] = Counter()

    def start(self, name: str, steps: int = 0) -> float:
        """Start a node; return when."""
        pid = os.fork()
        if pid == 0:
            try:
                live(self.place, name, steps)
            finally:
                os._exit(1)
        self.pids[name] = pid
        return time.monotonic()

    def kill(self, name: str) -> None:
        os.kill(self.pids[name], signal.SIGKILL)
        self.bury(name, "outside")

    def bury(self, name: str, how: str) -> None:
        """Wait until a node is dead; it must have died of nothing else."""
        until = time.monotonic() + PATIENCE
        while True:
            pid, status = os.waitpid(self.pids[name], os.WNOHANG)
            if pid:
                break
            if time.monotonic() > until:
                os.kill(self.pids[name], signal.SIGKILL)
                raise SystemExit(f"{name} did not come to its step")
            time.sleep(0.005)
        del self.pids[name]
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            raise SystemExit(f"{name} ended by itself")
        self.kills[how] += 1

    def stop(self) -> None:
        for pid in self.pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def wait_for_keys(self, since: float) -> float:
        """Wait until both ends have keys that they asked for since, over both paths."""
        until = time.monotonic() + PATIENCE
        while not all(self._has_keys(name, since) for name in ENDS):
            if time.monotonic() > until:
                raise SystemExit("the relay did not heal")
            time.sleep(0.02)
        return time.monotonic() - since

    def _has_keys(self, name: str, since: float) -> bool:
        with contextlib.suppress(FileNotFoundError):
            lines = self.place.log(name).read_text().splitlines()[-200:]
            done = [line.split() for line in lines if line.startswith("done ")]
            return any(float(when) > since and n == "2" for _, when, n in done)
        return False


def rounds(nodes: Nodes, seed: str, count: int) -> Iterator[float]:
    """Kill and heal; yield the seconds each healing took."""
    numbers = draw(seed)
    for _ in range(count):
        victim = NAMES[int(next(numbers) * len(NAMES))]
        time.sleep(next(numbers) * MAX_LIFE)
        nodes.kill(victim)
        nodes.start(victim, 1 + int(next(numbers) * MAX_STEPS))
        nodes.bury(victim, "step")
        yield nodes.wait_for_keys(nodes.start(victim))


def reserve_port() -> socket.socket:
    """Bind a port that others may bind too, and keep it from being given to them."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((HOST, 0))
    return sock


def main() -> int:
    folder, seed, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    reserved = {name: reserve_port() for name in NAMES}
    ports = {name: sock.getsockname()[1] for name, sock in reserved.items()}
    ways = {way: reserve_port() for a, b in LINKS for way in ((a, b), (b, a))}
    numbers = {way: sock.getsockname()[1] for way, sock in ways.items()}
    place = Place(folder, ports, numbers)
    fill(place)
    (folder / "tap").mkdir()
    tap = os.fork()
    if tap == 0:
        asyncio.run(Tap(folder / "tap", ports, ways).run())
    for sock in ways.values():
        sock.close()
    nodes = Nodes(place)
    try:
        start = [nodes.start(name) for name in NAMES]
        nodes.wait_for_keys(max(start))
        healed = sorted(rounds(nodes, seed, count))
    finally:
        nodes.stop()
        os.kill(tap, signal.SIGKILL)
        os.waitpid(tap, 0)
    sys.stdout.write(json.dumps({"kills": nodes.kills, "healed": healed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
