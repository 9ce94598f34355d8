"""A tunnel whose routing others take apart: ``python -m benches.restore_run``.

Traffic flows both ways meanwhile. Writes a JSON object to ``--out``: seconds from the
end of each interference until packets pass both ways, by kind.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lab.gateway import Gateway, Settings, make_pair
from lab.netns import linked_pair, run
from lab.stream import Stream
from lab.watch import Watcher

INTERVAL, LIFETIME = 30.0, 100.0
"""Seconds: no rotation is to heal what the daemon must."""

PATIENCE = 60.0
SPACING = 15.0
"""Seconds between two of a kind: somebody who fights is left alone for a while."""


def devices(end: Gateway) -> list[str]:
    """Return the names of the interfaces that are the gateway's."""
    listed = run("ip", "-n", end.namespace.name, "-o", "link", "show")
    lines = [line for line in listed.splitlines() if "alias qgw:" in line]
    return [line.split(":")[1].strip().partition("@")[0] for line in lines]


def _ip(end: Gateway, *arguments: str) -> None:
    run("ip", "-n", end.namespace.name, *arguments)


def flush_table(end: Gateway) -> None:
    """Flush our routing table."""
    _ip(end, "route", "flush", "table", "5157")


def flush_addresses(end: Gateway) -> None:
    """Take all addresses from our interfaces."""
    for name in devices(end):
        _ip(end, "address", "flush", "dev", name)


def set_down(end: Gateway) -> None:
    """Set our interfaces down."""
    for name in devices(end):
        _ip(end, "link", "set", name, "down")


KINDS: dict[str, Callable[[Gateway], None]] = {
    "table flushed": flush_table,
    "addresses flushed": flush_addresses,
    "interfaces down": set_down,
}


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plane", required=True)
    parser.add_argument("--times", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    settings = Settings(plane=arguments.plane, interval=INTERVAL, lifetime=LIFETIME)
    with (
        tempfile.TemporaryDirectory(prefix="qgw-bench-") as folder,
        linked_pair() as namespaces,
    ):
        ends = make_pair(Path(folder) / "g", namespaces, settings)
        try:
            result = measure(ends, arguments.times)
        finally:
            for end in ends:
                end.stop()
                end.end_children()
    arguments.out.write_text(json.dumps(result))


def measure(ends: tuple[Gateway, Gateway], times: int) -> dict[str, list[float]]:
    """Start both, send, interfere, and see when packets pass again.

    Raises:
        RuntimeError: They do not.
    """
    for end in reversed(ends):
        end.start()
    for end in ends:
        end.wait_ready()
    Watcher(ends).wait_in_force(PATIENCE)
    stream = Stream((ends[0].namespace, ends[1].namespace))
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    try:
        for turn in range(times):
            for kind, interfere in KINDS.items():
                interfere(ends[turn % 2])
                began = time.monotonic()
                if not stream.wait_both_ways(began, until=began + PATIENCE):
                    raise RuntimeError(f"no packet passes since: {kind}")
                first = max(
                    min(a.received_at for a in seen if a.sent_at > began)
                    for seen in stream.arrivals.values()
                )
                found[kind].append(first - began)
                time.sleep(SPACING / len(KINDS))
    finally:
        stream.close()
    return found


if __name__ == "__main__":
    main()
