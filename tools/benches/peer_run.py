"""Two strongSwan daemons, measured: ``python -m benches.peer_run``.

As `benches.pair_run` with ``--phase cpu``, whose marks and JSON object it prints and
writes: CPU of both, window by window, while CHILD_SAs are rekeyed or rest.
"""

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from lab.netns import linked_pair, run
from lab.strongswan import charon_pair

from benches.cpu import processes_cpu
from benches.pair_run import MARK, SETTLE


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interval", type=int, required=True)
    parser.add_argument("--tunnels", type=int, required=True)
    parser.add_argument("--window", type=float, default=10.0)
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="qgw-bench-") as folder,
        linked_pair() as namespaces,
        # It draws from between nothing and its rekey time: half of it on average.
        charon_pair(
            Path(folder), namespaces, arguments.tunnels, 2 * arguments.interval
        ) as (first, what),
    ):
        time.sleep(SETTLE)
        pids = [
            int(pid)
            for end in namespaces
            for pid in run("ip", "netns", "pids", end.name).split()
        ]
        before, spent = first.rekeys(), [processes_cpu(pids)]
        print(MARK, flush=True)
        for _ in range(arguments.samples):
            time.sleep(arguments.window)
            spent.append(processes_cpu(pids))
            print(MARK, flush=True)
        result = {
            "cpu": [after - earlier for earlier, after in pairwise(spent)],
            "rotations": first.rekeys() - before,
            "what": what,
        }
    arguments.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
