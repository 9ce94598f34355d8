"""A hub of 100 tunnels at 10 s under floods: rotations kept, and CPU time.

The hub is the whole daemon with its data plane in memory, in a network namespace of its
own. Branches that rotate on schedule are in another, and what sends the flood in a
third: 20,000 datagrams a second of each kind, by a process of its own.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import lab.flood
from lab.inside import open_socket
from lab.netns import Namespace, join, linked_pair, run

from benches.cpu import process_cpu
from benches.figures import Figure
from benches.flood_branches import FloodBranches
from benches.flood_kinds import KINDS, Scene, Shot, with_cookie
from benches.hub import make_branches, tunnel_name
from benches.hub_server import ECDH_SIZE
from benches.lines import ask, read_line
from benches.memory import write_hub
from benches.registry import Bench, Options
from gateway.crypto.identity import PublicIdentity

TUNNELS, INTERVAL = 100, 10.0
RATE = 20_000
WINDOW, QUICK_WINDOW = 20.0, 10.0
LEAD = 1.0
"""Seconds of flood before the window: load is noticed, and cookies are given."""

MAX_CPU = 40.0
PATIENCE = 5.0
"""Seconds that a rotation may take: half of what its predecessor lives on."""

HUB_PORT, BRANCH_PORT, MAD_PORT = 51810, 51820, 51821
STRANGER = "192.0.2.9"


@contextlib.contextmanager
def hosts() -> Iterator[tuple[Namespace, Namespace, Namespace]]:
    """Make three hosts on one network; the hub's way out is the third."""
    with linked_pair("f") as (hub, branches):
        name = f"{hub.name[:-1]}s"
        stranger = Namespace(name, STRANGER, "veth-s", hub.wire, "leg-s")
        run("ip", "netns", "add", name)
        try:
            join(stranger, "/24")
            run("ip", "-n", hub.name, "route", "add", "default", "via", STRANGER)
            yield hub, branches, stranger
        finally:
            run("ip", "netns", "del", name, check=False)


def udp(host: Namespace, port: int) -> socket.socket:
    """Return a socket of a host, with room for a burst."""
    sock = open_socket(host.name, socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host.address, port))
    sock.setblocking(False)  # takes no keyword
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    return sock


class Hub:
    """The daemon under fire."""

    def __init__(self, host: Namespace, config: Path) -> None:
        # The namespace is entered by the program itself: `ip netns exec` mounts.
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{host.name}", sys.executable,
             "-m", "benches.memory_hub", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        raw = bytes.fromhex(read_line(self.process)["identity"])
        self.identity = PublicIdentity(1, raw[:ECDH_SIZE], raw[ECDH_SIZE:])
        self._host = host

    def kernel_drops(self) -> int:
        """Return the datagrams that its socket had no room for, or filtered."""
        lines = self._host.run("cat", "/proc/net/udp").splitlines()[1:]
        return sum(int(line.split()[-1]) for line in lines)

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None  # noqa: S101  # it is a pipe
        self.process.stdin.close()
        self.process.wait(timeout=30)


@contextlib.contextmanager
def shooting(shot: Shot | None, host: Namespace, folder: Path) -> Iterator[None]:
    """Send a flood while the block runs."""
    if shot is None:
        yield
        return
    file = folder / "flood"
    lab.flood.write_datagrams(file, shot.datagrams)
    process = host.spawn(
        [sys.executable, lab.flood.__file__, str(file), "192.0.2.1", str(HUB_PORT),
         "--rate", str(RATE), "--seconds", "3600", "--sources", shot.sources,
         "--source-port", str(shot.port),
         "--avoid", "192.0.2.1,192.0.2.2,192.0.2.9"],
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def measure(
    kind: str, hub: Hub, scene: Scene, host: Namespace, folder: Path, window: float
) -> list[Figure]:
    """Return rotations kept and CPU time under one kind of flood."""
    make = KINDS[kind]
    shot = make(scene) if make else None
    branches, shown = scene.branches, False
    with contextlib.ExitStack() as stack:
        stack.enter_context(shooting(shot, host, folder))
        branches.run(LEAD, begin=False)
        sockets = {"unknown": scene.stranger, "mad": scene.mad_socket}
        if shot is not None and kind in sockets:
            better = with_cookie(shot, scene.hub, sockets[kind])
            shown = better is not shot
            stack.close()
            stack.enter_context(shooting(better, host, folder))
            branches.run(LEAD, begin=False)
        branches.started, branches.took = 0, []
        before, drops = ask(hub.process), hub.kernel_drops()
        cpu, began = process_cpu(hub.process.pid), time.monotonic()
        branches.run(window)
        spent = process_cpu(hub.process.pid) - cpu
        lasted = time.monotonic() - began
        started = branches.started
        after, lost = ask(hub.process), hub.kernel_drops() - drops
    branches.run(PATIENCE, begin=False)
    kept = sum(took <= PATIENCE for took in branches.took)
    counted = {
        reason: count - before["dropped"].get(reason, 0)
        for reason, count in after["dropped"].items()
        if count != before["dropped"].get(reason, 0)
    }
    cookies = ", with a cookie" if shown else ""
    load = os.getloadavg()[0]
    note = (
        f"{kind}{cookies}: {kept} of {started} rotations, the slowest in "
        f"{max(branches.took, default=0.0):.2f} s; read and dropped {counted}, by the "
        f"kernel {lost}; unsent {after['unsent'] - before['unsent']}, failed "
        f"{after['failed'] - before['failed']}, up {after['up']}; load {load:.1f}"
    )
    is_whole = after["unsent"] == before["unsent"] and after["up"] >= TUNNELS
    share = 100.0 * kept / started if is_whole else 0.0
    target = None if make is None else MAX_CPU
    return [
        Figure(
            f"flood_kept.{kind}", share, "%", None, 100.0, note, more_is_better=True
        ),
        Figure(f"flood_cpu.{kind}", 100.0 * spent / lasted, "%", None, target),
    ]


def run_kinds(options: Options) -> list[Figure]:
    """Measure the kinds asked for."""
    figures: list[Figure] = []
    window = QUICK_WINDOW if options.quick else WINDOW
    identities = make_branches(TUNNELS + 1)
    with (
        tempfile.TemporaryDirectory(prefix="qgw-bench-") as name,
        hosts() as (hub_host, branch_host, stranger_host),
    ):
        folder = Path(name)
        config = write_hub(
            folder,
            identities,
            listen=f"{hub_host.address}:{HUB_PORT}",
            interval=INTERVAL,
        )
        hub = Hub(hub_host, config)
        sockets = [
            udp(branch_host, BRANCH_PORT),
            udp(branch_host, MAD_PORT),
            udp(stranger_host, lab.flood.PORT),
        ]
        target = (hub_host.address, HUB_PORT)
        try:
            branches = FloodBranches(
                identities[:TUNNELS], hub.identity, sockets[0], target, INTERVAL
            )
            mad = FloodBranches(
                identities[TUNNELS:], hub.identity, sockets[1], target, INTERVAL,
                first=TUNNELS,
            )  # fmt: skip
            branches.bring_up()
            mad.bring_up()
            scene = Scene(
                hub.identity, branches, mad, tunnel_name(TUNNELS),
                sockets[2], sockets[1],
                BRANCH_PORT, MAD_PORT, lab.flood.PORT,
                branch_host.address, stranger_host.address,
            )  # fmt: skip
            for kind in KINDS:
                if f"flood_kept.{kind}" in options.wanted or (
                    f"flood_cpu.{kind}" in options.wanted
                ):
                    options.say(f"{RATE} datagrams a second: {kind}")
                    figures += measure(kind, hub, scene, stranger_host, folder, window)
        finally:
            for sock in sockets:
                sock.close()
            hub.close()
    return figures


BENCH = Bench(
    tuple(f"{name}.{kind}" for kind in KINDS for name in ("flood_kept", "flood_cpu")),
    run_kinds,
)
