"""Two daemons, one of which reloads under traffic: ``python -m benches.reload_run``.

The first end has many tunnels beside the one that carries a stream both ways. Each
reload changes one of them, and the one with the stream. Writes a JSON object: packets
sent and lost, and how many reloads there were.
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from lab.gateway import TUNNEL, Gateway, Settings, make_pair
from lab.netns import linked_pair
from lab.tools import finish_tool, start_traffic
from lab.watch import Watcher

from gateway.config.identity_files import write_public_identity
from gateway.control.client import ControlClient
from gateway.crypto.identity import encode_public, generate_identity

INTERVAL, LIFETIME = 5.0, 60.0
PATIENCE = 60.0

LEAD = 1.0
"""Seconds of traffic before the first reload, and after the last."""

SPACING = 0.5
"""Seconds for which traffic flows after each reload."""

CHANGES = (
    "mtu = 1300\n",
    'mtu = 1300\nextra = "10.72.9.0/24"\n',
    "interval = 6.0\n",
    "",
)
"""What is different of the tunnel with the stream, in turn."""


def add_tunnels(end: Gateway, count: int, plane: str) -> None:
    """Give an end tunnels to gateways that never call."""
    folder = end.folder / "tunnels.d"
    folder.mkdir(mode=0o700)
    for index in range(count):
        name = f"idle-{index}"
        write_public_identity(
            end.folder / f"{name}.pub", encode_public(generate_identity(1).public)
        )
        write_tunnel(end, index, plane, mtu=1400)


def write_tunnel(end: Gateway, index: int, plane: str, mtu: int) -> None:
    """Write the file of a tunnel that never comes up."""
    name = f"idle-{index}"
    high, low = divmod(index, 256)
    file = end.folder / "tunnels.d" / f"{name}.toml"
    file.write_text(
        f'[tunnels.{name}]\npeer = "../{name}.pub"\nrole = "responder"\n'
        f'plane = "{plane}"\nqkd = "off"\nmtu = {mtu}\n'
        f'remote_subnets = ["10.{100 + high}.{low}.0/24"]\n'
    )
    file.chmod(0o600)


def change_stream(end: Gateway, text: str, change: str) -> None:
    """Write the configuration with one change of the tunnel that carries the stream."""
    told = dict(line.split(" = ", 1) for line in change.splitlines())
    if "mtu" in told:
        header = f"[tunnels.{TUNNEL}]\n"
        text = text.replace(header, f"{header}mtu = {told['mtu']}\n")
    if "extra" in told:
        text = text.replace(
            "remote_subnets = [", f"remote_subnets = [{told['extra']}, "
        )
    if "interval" in told:
        old = f"rotation_interval = {INTERVAL}"
        text = text.replace(old, f"rotation_interval = {told['interval']}")
    (end.folder / "gateway.toml").write_text(text)


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plane", required=True)
    parser.add_argument("--times", type=int, required=True)
    parser.add_argument("--tunnels", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    settings = Settings(plane=arguments.plane, interval=INTERVAL, lifetime=LIFETIME)
    with (
        tempfile.TemporaryDirectory(prefix="qgw-bench-") as folder,
        linked_pair() as namespaces,
    ):
        ends = make_pair(Path(folder) / "g", namespaces, settings)
        add_tunnels(ends[0], arguments.tunnels, arguments.plane)
        try:
            result = measure(ends, arguments.times, arguments.plane)
        finally:
            for end in ends:
                end.stop()
                end.end_children()
    arguments.out.write_text(json.dumps(result))


def measure(ends: tuple[Gateway, Gateway], times: int, plane: str) -> dict[str, int]:
    """Start both, send, reload, and count."""
    for end in reversed(ends):
        end.start()
    for end in ends:
        end.wait_ready()
    Watcher(ends).wait_in_force(PATIENCE)
    first = ends[0]
    text = (first.folder / "gateway.toml").read_text()
    senders = start_traffic(
        (ends[0].namespace, ends[1].namespace),
        2 * LEAD + times * (SPACING + 2.0),
        interval=0.002,
    )
    time.sleep(LEAD)
    reloads = 0
    end_of_reloads = time.monotonic() + times * (SPACING + 1.5)
    for turn, change in enumerate(itertools.islice(itertools.cycle(CHANGES), times)):
        if time.monotonic() > end_of_reloads:
            break  # a slow host: what was done is counted
        change_stream(first, text, change)
        write_tunnel(first, turn, plane, mtu=1390)
        with ControlClient(first.socket, timeout=PATIENCE) as client:
            answer: Any = client.call("reload")
        if TUNNEL not in answer["changed"] or answer["failed"]:
            raise RuntimeError(f"not what was to be measured: {answer}")
        reloads += 1
        time.sleep(SPACING)
    reports = [finish_tool(sender) for sender in senders]
    lost = sum(
        one["sent"] - other["received"]
        for one, other in zip(reports, reversed(reports), strict=True)
    )
    sent = sum(report["sent"] for report in reports)
    return {"sent": sent, "lost": lost, "reloads": reloads}


if __name__ == "__main__":
    main()
