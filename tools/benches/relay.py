"""Relayed keys a second over chains of nodes, and what they weigh on the wire."""

import json
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benches.figures import Figure, quartile_distance
from benches.lines import read_line
from benches.registry import Bench, Options
from benches.store import WHERE

HOPS = (1, 2, 5)
MIN_KEYS_PER_S = {2: 500.0}
MAX_OVERHEAD = 25.0

COUNT = 128
"""Keys of a bundle: what a message holds."""

AHEAD = 4
"""Bundles under way at once: each node has something to do."""

BUNDLES = 24
ROUNDS = 7
QUICK_ROUNDS = 3
KEY_SIZE = 32

STOP_TIMEOUT = 10.0

PADS = (COUNT + 2) * BUNDLES * (ROUNDS + 1)
NAME = "relay_keys_per_s"
OVERHEAD = "relay_overhead_percent"
WEIGHED = 2
"""Hops of the chain on which overhead is counted."""


class Chain:
    """Nodes in a row, each a process, over sockets of loopback."""

    def __init__(self, folder: Path, hops: int) -> None:
        self.names = [f"n{number}" for number in range(hops + 1)]
        reserved = {name: _reserve_port() for name in self.names}
        ports = {name: sock.getsockname()[1] for name, sock in reserved.items()}
        self._nodes = {
            name: subprocess.Popen(
                [sys.executable, "-m", "benches.relay_node"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in self.names
        }
        for place, name in enumerate(self.names):
            beside = self.names[max(0, place - 1) : place + 2]
            told = {
                "name": name,
                "folder": str(folder),
                "port": ports[name],
                "neighbours": {peer: ports[peer] for peer in beside if peer != name},
                "pads": PADS,
            }
            self._write(name, told)
        for name in self.names:
            read_line(self._nodes[name])
        self._reserved = reserved

    def relay(self, bundles: int) -> float:
        """Relay bundles from end to end; return seconds."""
        order = {
            "routes": [self.names],
            "bundles": bundles,
            "count": COUNT,
            "ahead": AHEAD,
        }
        return float(self._ask(self.names[0], order)["seconds"])

    def standing(self) -> list[dict[str, Any]]:
        """Return how each node stands."""
        return [self._ask(name, {}) for name in self.names]

    def stop(self) -> None:
        """End them all."""
        for process in self._nodes.values():
            assert process.stdin is not None  # noqa: S101  # it is a pipe
            process.stdin.close()
        for process in self._nodes.values():
            try:
                process.wait(timeout=STOP_TIMEOUT)
            except subprocess.TimeoutExpired:  # it waits for a neighbour that failed
                process.kill()
                process.wait()
        for sock in self._reserved.values():
            sock.close()

    def _ask(self, name: str, order: dict[str, Any]) -> dict[str, Any]:
        self._write(name, order)
        return read_line(self._nodes[name])

    def _write(self, name: str, order: dict[str, Any]) -> None:
        pipe = self._nodes[name].stdin
        assert pipe is not None  # noqa: S101  # it is a pipe
        pipe.write(json.dumps(order) + "\n")
        pipe.flush()


def _reserve_port() -> socket.socket:
    """Bind a port of loopback that only who asks for it by number will get."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


def measure(chain: Chain, rounds: int) -> tuple[list[float], float, float]:
    """Return keys a second by round, and overhead in percent: without headers, with."""
    chain.relay(BUNDLES)  # files, caches and windows grow to what they need
    before = chain.standing()
    rates = [BUNDLES * COUNT / chain.relay(BUNDLES) for _ in range(rounds)]
    after = chain.standing()
    if after[0]["digest"] != after[-1]["digest"]:
        raise RuntimeError("the ends of the chain do not hold the same keys")
    carried = rounds * BUNDLES * COUNT * KEY_SIZE * (len(chain.names) - 1)
    sent, headers = (
        sum(now[word] - then[word] for now, then in zip(after, before, strict=True))
        for word in ("bytes", "headers")
    )
    bare = 100.0 * (sent - carried) / carried
    return rates, bare, bare + 100.0 * headers / carried


def run(options: Options) -> list[Figure]:
    """Measure one chain after the other."""
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    figures = []
    for hops in HOPS:
        wanted = {f"{NAME}.{hops}"} | ({OVERHEAD} if hops == 2 else set())
        if options.wanted.isdisjoint(wanted):
            continue
        options.say(f"{rounds} times {BUNDLES * COUNT} keys over {hops} hops")
        with tempfile.TemporaryDirectory(prefix="qgw-bench-", dir=WHERE) as name:
            chain = Chain(Path(name), hops)
            try:
                rates, bare, whole = measure(chain, rounds)
            finally:
                chain.stop()
        figures.append(_speed(hops, rates))
        if hops == WEIGHED:
            figures.append(_overhead(bare, whole))
    return figures


def _speed(hops: int, rates: list[float]) -> Figure:
    note = (
        f"{hops + 1} nodes, each a process with its own key store on disk, joined by "
        f"TCP over loopback; bundles of {COUNT} keys, {AHEAD} under way; both ends "
        "have stored the keys durably"
    )
    return Figure(
        f"{NAME}.{hops}",
        statistics.median(rates),
        "1/s",
        quartile_distance(rates),
        MIN_KEYS_PER_S.get(hops),
        note,
        more_is_better=True,
    )


def _overhead(bare: float, whole: float) -> Figure:
    note = (
        "all bytes of IPv4, TCP (segments as on Ethernet, and acknowledgements), "
        f"frames and messages, but the {KEY_SIZE} bytes of each key, in percent of "
        f"these, answers included, with {COUNT} keys in a bundle; {bare:.1f} without "
        "the headers of IPv4 and TCP"
    )
    return Figure(OVERHEAD, whole, "%", None, MAX_OVERHEAD, note)


BENCH = Bench(
    (*(f"{NAME}.{hops}" for hops in HOPS), OVERHEAD),
    run,
)
