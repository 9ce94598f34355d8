"""What a handshake costs a hub with real sockets, by the number of its tunnels.

The hub is a process of its own; the branches call it from this one, over loopback,
one handshake after another. Its CPU time counts, user and system.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benches.branches import Branches
from benches.figures import Figure
from benches.hub import COUNTS, make_branches, summarise_hubs, tunnel_name
from benches.hub_server import ECDH_SIZE
from benches.lines import ask, read_line
from benches.registry import Bench, Options
from gateway.crypto.identity import PublicIdentity

BATCH = 25
ROUNDS = 24
QUICK_ROUNDS = 6
PACE = 1 / 350
"""Seconds between handshakes: a hub asks for cookies above 400 a second."""

_NAME, _GROWTH = "hub_socket_handshakes_per_s", "hub_socket_growth"


class RemoteHub:
    """A hub in another process, with its branches in this one."""

    def __init__(self, count: int, folder: Path) -> None:
        identities = make_branches(count)
        path = folder / f"branches-{count}"
        path.write_bytes(
            b"".join(one.public.ecdh + one.public.kem for one in identities)
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benches.hub_server", str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = read_line(self._process)
        raw = bytes.fromhex(said["identity"])
        public = PublicIdentity(1, raw[:ECDH_SIZE], raw[ECDH_SIZE:])
        self._branches = Branches(identities, public, said["port"], name_of=tunnel_name)
        for _ in range(count):
            self._branches.rotate_next()

    def measure(self) -> float:
        """Do a batch of handshakes; return the hub's CPU seconds for each."""
        before = ask(self._process)
        for _ in range(BATCH):
            start = time.monotonic()
            self._branches.rotate_next()
            time.sleep(max(0.0, PACE - (time.monotonic() - start)))
        after = ask(self._process)
        done = after["commits"] - before["commits"]
        if done != BATCH:
            raise RuntimeError(f"{done} of {BATCH} handshakes reached the hub")
        return float(after["cpu"] - before["cpu"]) / BATCH

    def close(self) -> None:
        """End the hub."""
        self._branches.close()
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        self._process.stdin.close()
        self._process.wait(timeout=10)


def run(options: Options) -> list[Figure]:
    """Measure hubs of every size in turns."""
    options.say(f"hubs of {COUNTS} tunnels with sockets, each brought up first")
    costs: dict[int, list[float]] = {count: [] for count in COUNTS}
    hubs: dict[int, RemoteHub] = {}
    with tempfile.TemporaryDirectory(prefix="qgw-bench-") as folder:
        try:
            for count in COUNTS:
                hubs[count] = RemoteHub(count, Path(folder))
            for _ in range(QUICK_ROUNDS if options.quick else ROUNDS):
                for count, hub in hubs.items():
                    costs[count].append(hub.measure())
        finally:
            for hub in hubs.values():
                hub.close()
    what = "the responder's process: machine, UDP sockets, event loop, kernel"
    return summarise_hubs(_NAME, _GROWTH, costs, what)


BENCH = Bench((*(f"{_NAME}.{count}" for count in COUNTS), _GROWTH), run)
