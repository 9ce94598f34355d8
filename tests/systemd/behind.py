"""The networks behind two gateways, each with a host that knows nothing of tunnels."""

import contextlib
from collections.abc import Iterator, Sequence

from lab.netns import Namespace, run

from tests.systemd.machine import Machine

LAN = "lan0"
"""The gateway's device to its network."""

GATE = {"a": "10.1.0.1", "b": "10.2.0.1"}
PC = {"a": "10.1.0.10", "b": "10.2.0.10"}


@contextlib.contextmanager
def networks_behind(machines: Sequence[Machine]) -> Iterator[dict[str, Namespace]]:
    """Put a host behind each machine, with its gateway as its default route."""
    made: dict[str, Namespace] = {}
    try:
        for machine in machines:
            letter, gateway = machine.name, machine.namespace.name
            pc = Namespace(f"{gateway}p", PC[letter], "eth0", gateway, LAN)
            run("ip", "netns", "add", pc.name)
            made[letter] = pc
            run("ip", "-n", gateway, "link", "add", LAN, "type", "veth",
                "peer", "name", pc.device, "netns", pc.name)  # fmt: skip
            run("ip", "-n", gateway, "addr", "add", f"{GATE[letter]}/16", "dev", LAN)
            run("ip", "-n", gateway, "link", "set", LAN, "up")
            run("ip", "-n", pc.name, "addr", "add", f"{pc.address}/16",
                "dev", pc.device)  # fmt: skip
            run("ip", "-n", pc.name, "link", "set", "lo", "up")
            run("ip", "-n", pc.name, "link", "set", pc.device, "up")
            run("ip", "-n", pc.name, "route", "add", "default", "via", GATE[letter])
        yield made
    finally:
        for pc in made.values():
            run("ip", "netns", "del", pc.name, check=False)


def reaches(pc: Namespace, target: str, *, count: int = 3) -> bool:
    """Say whether every echo of a host's came back."""
    options = ("-q", "-c", str(count), "-i", "0.2", "-W", "2")
    said = pc.run("ping", *options, target, check=False)
    return f"{count} received, 0% packet loss" in said
