"""Tunnels that take prefixes from each other in one reload, while packets flow."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from lab.gateway import INNER, Gateway
from lab.netns import Namespace, run

from gateway.config.identity_files import write_public_identity
from gateway.crypto.identity import encode_public, generate_identity
from tests.netns.labs import TUNNEL, Lab, make_lab, plane, qgw, state, until
from tests.netns.wiretap import ETHERNET, LinkTap
from tests.underload.findings import never

CARRIED = ("10.72.0.0/24", "10.78.0.0/24", "10.79.0.0/24")
"""What the tunnel and two beside it have in turn; the first is behind the peer."""

BACK = 2.0
"""Seconds within which traffic flows again once its prefix is back."""


class ClearFrames(LinkTap):
    """Counts packets for the prefixes that leave a host as they are."""

    def __init__(self, host: Namespace) -> None:
        self.seen: list[str] = []
        self._networks = [ip_network(prefix) for prefix in CARRIED]
        super().__init__(host)

    def take(self, frame: bytes) -> None:
        """Keep the target of a packet in clear."""
        if frame[12:14] != b"\x08\x00":
            return
        target = ip_address(frame[ETHERNET + 16 : ETHERNET + 20])
        if any(target in network for network in self._networks):
            self.seen.append(str(target))


@pytest.fixture
def trio(pair: tuple[Namespace, Namespace]) -> Iterator[Lab]:
    """A tunnel that carries, and two beside it whose peers never call."""
    with make_lab(pair, interval=60.0, lifetime=180.0) as lab:
        beside = ""
        for number, prefix in enumerate(CARRIED[1:]):
            public = lab.a.folder / f"idle-{number}.pub"
            write_public_identity(public, encode_public(generate_identity(1).public))
            beside += (
                f'\n[tunnels.idle-{number}]\npeer = "{public.name}"\n'
                f'role = "responder"\nplane = "{plane()}"\nqkd = "off"\n'
                f'remote_subnets = ["{prefix}"]\n'
            )
        path = lab.a.folder / "gateway.toml"
        text = path.read_text() + beside
        path.write_text(text.replace(', "fd72::/64"', ""))
        # Where packets would go in clear.
        near, far = pair
        run("ip", "-n", near.name, "route", "add", "default", "via", far.address)
        try:
            lab.start()
            yield lab
        finally:
            run("ip", "-n", near.name, "route", "del", "default", check=False)


def rotate_prefixes(end: Gateway, names: tuple[str, ...]) -> dict[str, Any]:
    """Give each tunnel what the next one has, in one reload."""
    path = end.folder / "gateway.toml"
    text = path.read_text()
    owners = {}
    for name in names:
        _, _, rest = text.partition(f"[tunnels.{name}]")
        found = re.search(r'^remote_subnets = \["([^"]+)"\]', rest, re.MULTILINE)
        assert found is not None
        owners[name] = found[1]
    fresh = {old: owners[names[i - 1]] for i, old in enumerate(names)}
    pattern = r'^remote_subnets = \["([^"]+)"\]'
    back = {owners[name]: fresh[name] for name in names}
    text = re.sub(
        pattern,
        lambda found: f'remote_subnets = ["{back.get(found[1], found[1])}"]',
        text,
        flags=re.MULTILINE,
    )
    path.write_text(text)
    done = qgw(end, "reload", "--json")
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == bool(answer["failed"]), done.stderr
    return answer


@pytest.mark.parametrize("names", [(TUNNEL, "idle-0"), (TUNNEL, "idle-0", "idle-1")])
def test_prefixes_go_round_in_one_reload(trio: Lab, names: tuple[str, ...]) -> None:
    until(lambda: state(trio.a) == state(trio.b) == "up", "the tunnel")
    epoch = trio.newest()
    flood = ("ping", "-q", "-i", "0.005", "-I", INNER["a"], INNER["b"])
    sender = trio.a.namespace.spawn(flood, stdout=subprocess.DEVNULL)
    watch = ClearFrames(trio.a.namespace)
    try:
        for turn in range(len(names)):
            assert trio.ping(count=1) == (turn == 0)
            answer = rotate_prefixes(trio.a, names)
            assert answer["failed"] == {}
            assert sorted(answer["changed"]) == sorted(names)
        began = time.monotonic()
        until(lambda: trio.ping(count=1), "traffic")
        assert time.monotonic() - began < BACK
    finally:
        sender.terminate()
        sender.wait()
        watch.close()
    never(watch.seen, "packets in clear")
    assert trio.newest() == epoch  # no new keys for it


def test_one_that_cannot_be_given_leaves_all_as_they_were(trio: Lab) -> None:
    """An exchange needs all of its tunnels: what is refused of one is of none."""
    path = trio.a.folder / "gateway.toml"
    before = path.read_text()
    # What no check foresees: an address of a family that the host was told to leave.
    switch = "net.ipv6.conf.all.disable_ipv6"
    trio.a.namespace.run("sysctl", "-q", "-w", f"{switch}=1")
    try:
        wanted = before.replace(
            "[tunnels.idle-0]\n", '[tunnels.idle-0]\naddresses = ["fd99::1/128"]\n'
        )
        path.write_text(wanted)
        answer = rotate_prefixes(trio.a, (TUNNEL, "idle-0"))
        assert sorted(answer["failed"]) == sorted((TUNNEL, "idle-0"))
        until(lambda: trio.ping(count=1), "traffic")
    finally:
        trio.a.namespace.run("sysctl", "-q", "-w", f"{switch}=0")
    # Tried again, it is done: a reload finds the difference that was left.
    done = qgw(trio.a, "reload", "--json")
    assert json.loads(done.stdout)["failed"] == {}
    assert not trio.ping(count=1)
