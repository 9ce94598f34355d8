"""Two daemons in two namespaces, measured: ``python -m benches.pair_run``.

Runs in whatever kernel has the plane; writes one JSON object to ``--out``. It prints
``MARK`` each time a sample ends, so that whoever runs this in a guest can read
the guest's CPU time from outside at that moment.

``--phase cpu``: CPU of the daemons, window by window, while every tunnel rotates at
its interval; a very long one shows what they cost at rest. ``--phase lost``: rotations
under traffic both ways through the first tunnel, whose packets are counted.
"""

import argparse
import json
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from lab.gateway import TUNNEL, Gateway, Settings, make_pair
from lab.netns import Namespace, linked_pair
from lab.tools import finish_tool, start_traffic
from lab.watch import Watcher

from benches.cpu import processes_cpu

MAX_WAIT = 30.0
"""Seconds to wait for rotations to spread; with a long interval there are none."""

SETTLE = 4.0
"""Seconds after an epoch is in force until the one before it is gone."""

KEY_RATE = 1.0
"""QKD keys a second for each tunnel, while nothing rotates and while all do."""

MARK = "MARK"


class PairRun:
    """One pair, and what was measured of it."""

    def __init__(
        self,
        ends: tuple[Gateway, Gateway],
        namespaces: tuple[Namespace, Namespace],
        arguments: argparse.Namespace,
    ) -> None:
        self._ends = ends
        self._namespaces = namespaces
        self._arguments = arguments
        self._slow = arguments.slowness

    def bring_up(self) -> None:
        """Start both daemons and wait for the first epoch."""
        patience = (20.0 + 2.0 * self._arguments.tunnels) * self._slow
        for end in reversed(self._ends):
            end.start()
        for end in self._ends:
            end.wait_ready(patience)
        Watcher(self._ends).wait_in_force(patience)
        time.sleep(SETTLE)

    def measure_cpu(self) -> dict[str, Any]:
        """Measure the daemons' CPU, and count the rotations meanwhile."""
        arguments = self._arguments
        # What came up at once is spread over the interval by its second epoch.
        time.sleep(min(arguments.interval / 2, MAX_WAIT))
        before = self._committed()
        spent = self._sample(arguments.samples)
        return {"cpu": spent, "rotations": self._committed() - before}

    def _sample(self, count: int) -> list[float]:
        """Return CPU seconds of both daemons in each of some windows."""
        pids = [pid for end in self._ends for pid in end.namespace_pids()]
        spent = [processes_cpu(pids)]
        print(MARK, flush=True)
        start = time.monotonic()
        for turn in range(1, count + 1):
            until = start + turn * self._arguments.window
            time.sleep(max(0.0, until - time.monotonic()))
            spent.append(processes_cpu(pids))
            print(MARK, flush=True)
        return [after - before for before, after in pairwise(spent)]

    def epochs(self) -> list[int]:
        """Return each end's epoch."""
        return [int(end.tunnel()["epoch"] or 0) for end in self._ends]

    def _committed(self) -> int:
        """Return the epochs committed so far, of all tunnels together."""
        return sum(self._all_epochs(self._ends[0]).values())

    def lose(self) -> dict[str, Any]:
        """Count packets over so many rotations under traffic."""
        arguments = self._arguments
        watcher = Watcher(self._ends)
        watcher.look()
        failed = max(watcher.failed.values())
        seconds = (arguments.rotations + 1) * arguments.interval
        before = max(self.epochs())
        senders = start_traffic(
            self._namespaces, seconds, interval=arguments.packet_interval
        )
        time.sleep(seconds)
        reports = [finish_tool(one, 60.0 * self._slow) for one in senders]
        watcher.look()
        lost = sum(
            sender["sent"] - receiver["received"]
            for sender, receiver in zip(reports, reversed(reports), strict=True)
        )
        return {
            "lost": lost,
            "sent": sum(report["sent"] for report in reports),
            "seconds": seconds,
            "rotations": max(self.epochs()) - before,
            "failed": max(watcher.failed.values()) - failed,
        }

    @staticmethod
    def _all_epochs(end: Gateway) -> dict[str, int]:
        listed = end.call("tunnel.list")
        return {tunnel["name"]: int(tunnel["epoch"] or 0) for tunnel in listed}


def add_tunnels(path: Path, count: int) -> None:
    """Add copies of a gateway's one tunnel, each with prefixes of its own."""
    text = path.read_text()
    start = text.index(f"[tunnels.{TUNNEL}]")
    block = text[start:]
    for index in range(1, count + 1):
        copy = block.replace(f"[tunnels.{TUNNEL}]", f"[tunnels.{TUNNEL}-{index}]")
        for side in ("71", "72"):
            copy = copy.replace(f'"10.{side}.0.', f'"10.{side}.{index}.')
            copy = copy.replace(f'"fd{side}::', f'"fd{side}:{index:x}::')
        text += copy
    path.write_text(text)


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plane", required=True)
    parser.add_argument("--phase", choices=["cpu", "lost"], required=True)
    parser.add_argument("--interval", type=float, required=True)
    parser.add_argument("--tunnels", type=int, default=1)
    parser.add_argument("--window", type=float, default=10.0)
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--rotations", type=int, default=20)
    parser.add_argument("--packet-interval", type=float, default=0.001)
    parser.add_argument("--slowness", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    # Where the host's files are seen in place, so that what is measured writes to a
    # real disk; the guests' /tmp is that of the host or a memory of its own.
    with (
        tempfile.TemporaryDirectory(prefix="qgw-bench-") as folder,
        linked_pair() as namespaces,
    ):
        settings = Settings(
            plane=arguments.plane,
            interval=arguments.interval,
            rate=KEY_RATE * arguments.tunnels,
        )
        ends = make_pair(Path(folder) / "gateways", namespaces, settings)
        for end in ends:
            add_tunnels(end.folder / "gateway.toml", arguments.tunnels - 1)
        try:
            run = PairRun(ends, namespaces, arguments)
            run.bring_up()
            result = run.measure_cpu() if arguments.phase == "cpu" else run.lose()
        except (RuntimeError, TimeoutError) as error:
            for end in ends:
                print(f"--- gateway {end.letter}\n{end.tail()}")
            raise SystemExit(f"pair_run: {error}") from error
        finally:
            for end in ends:
                end.stop()
                end.end_children()
    result["kernel"] = os.uname().release
    arguments.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
