"""Routes through a network of 500 nodes and 2,000 links."""

import hashlib
import time

from benches.figures import Figure, summarise
from benches.registry import Bench, Options
from gateway.errors import RelayError
from gateway.relay.paths import Network, RelayLink

NODES = 500
LINKS = 2_000
KEYS = 64
SEARCHES = 60
QUICK_SEARCHES = 15
MAX_MS = 50.0
PATHS = (1, 2)
NAME = "route_ms"


def _draw(*words: object) -> int:
    digest = hashlib.sha256(" ".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:6])


def make_network() -> Network:
    """A ring, that all may be reached, and chords; pads differ by direction."""
    pairs = {(node, (node + 1) % NODES) for node in range(NODES)}
    number = 0
    while len(pairs) < LINKS:
        number += 1
        ends = _draw("from", number) % NODES, _draw("to", number) % NODES
        if ends[0] != ends[1] and ends[::-1] not in pairs:
            pairs.add(ends)
    return Network(
        RelayLink(f"n{a}", f"n{b}", 100 + _draw("pads", a, b) % 10_000)
        for x, y in sorted(pairs)
        for a, b in ((x, y), (y, x))
    )


def _search(network: Network, number: int, paths: int) -> float:
    """Return the milliseconds of one search."""
    origin = _draw("origin", number) % NODES
    destination = (origin + 1 + _draw("by", number) % (NODES - 1)) % NODES
    begin = time.perf_counter()
    try:
        network.find_paths(f"n{origin}", f"n{destination}", keys=KEYS, count=paths)
    except RelayError as error:
        raise RuntimeError(f"no route: {error.message}") from error
    return 1000.0 * (time.perf_counter() - begin)


def run(options: Options) -> list[Figure]:
    """Measure searches between other nodes each time."""
    searches = QUICK_SEARCHES if options.quick else SEARCHES
    network = make_network()
    figures = []
    for paths in PATHS:
        options.say(f"{searches} searches for {paths} paths")
        samples = [_search(network, number, paths) for number in range(searches)]
        note = (
            f"{NODES} nodes, {LINKS} links with pads in both directions, between other "
            "nodes each time; the slowest search with "
            f"{paths} path(s) took {max(samples):.0f} ms"
        )
        figures.append(
            summarise(f"{NAME}.{paths}", "ms", samples, target=MAX_MS, note=note)
        )
    return figures


BENCH = Bench(tuple(f"{NAME}.{paths}" for paths in PATHS), run)
