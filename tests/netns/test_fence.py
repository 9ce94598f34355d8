"""Nothing leaves in clear between real daemons: not diverted, not dead, not unborn."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from lab.gateway import INNER, NETS, Gateway
from lab.inside import open_socket

from tests.netns.labs import LIFETIME, Lab, ping, until
from tests.underload.findings import never

ETH_P_IP = 0x0800


class Wire:
    """Counts packets with an end's inside address that a host's cable carries."""

    def __init__(self, at: Gateway, inside: str) -> None:
        self._inside = socket.inet_aton(inside)
        self._socket = open_socket(
            at.namespace.name,
            socket.AF_PACKET,
            socket.SOCK_DGRAM,
            socket.htons(ETH_P_IP),
        )
        self._socket.bind((at.namespace.device, ETH_P_IP))
        self._socket.settimeout(0.05)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count)
        self.clear = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _count(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                header = self._socket.recv(2048)[:20]
                self.clear += self._inside in (header[12:16], header[16:20])


@contextlib.contextmanager
def wire(at: Gateway, inside: str) -> Iterator[Wire]:
    watching = Wire(at, inside)
    watching.start()
    try:
        yield watching
    finally:
        watching.stop()


@contextlib.contextmanager
def diverted(lab: Lab) -> Iterator[None]:
    """Lead packets for the peer's site past every table of ours."""
    prefix, via = NETS["b"][0], lab.b.namespace.address
    run_at_a = lab.a.namespace.run
    run_at_a("ip", "route", "replace", prefix, "via", via, "table", "77")
    run_at_a("ip", "rule", "add", "pref", "7", "to", prefix, "lookup", "77")
    try:
        yield
    finally:
        run_at_a("ip", "rule", "delete", "pref", "7")


def pings(lab: Lab) -> bool:
    return ping(lab.a.namespace, INNER["a"], INNER["b"], count=1)


def test_what_is_diverted_is_refused_and_counted(lab: Lab) -> None:
    lab.start()
    assert pings(lab)
    with wire(lab.b, INNER["b"]) as watched:
        with diverted(lab):
            assert not pings(lab)
            assert not pings(lab)
            until(lambda: lab.a.tunnel()["fence"]["dropped_out"] >= 2, "counted")
        until(lambda: pings(lab), "passes again")
    never(watched.clear, "packets in clear")


def test_dead_daemons_pass_nothing_after_the_lifetime(brief: Lab) -> None:
    brief.start()
    for end in brief.ends:
        end.kill()
    dead = time.monotonic()
    passed = dead
    with wire(brief.b, INNER["b"]) as watched:
        while time.monotonic() < dead + LIFETIME + 3:
            before = time.monotonic()
            if pings(brief):
                passed = before
        with diverted(brief):
            assert not pings(brief)
    assert passed - dead < LIFETIME + 1
    never(watched.clear, "packets in clear")
    brief.start()
    until(lambda: pings(brief), "passes again")


def test_a_tunnel_that_cannot_start_lets_nothing_pass(lab: Lab) -> None:
    (lab.a.folder / "peer.pub").unlink()
    with diverted(lab), wire(lab.b, INNER["b"]) as watched:
        lab.a.start()
        lab.a.wait_ready()
        assert not pings(lab)
        lab.a.stop()
        # Nor does what it leaves behind.
        assert not pings(lab)
    never(watched.clear, "packets in clear")


def test_a_tunnel_that_an_operator_removes_is_fenced_no_more(lab: Lab) -> None:
    lab.start()
    path = lab.a.folder / "gateway.toml"
    text = path.read_text()
    path.write_text(text[: text.index("[tunnels.")])
    lab.a.call("reload")
    with diverted(lab), wire(lab.b, INNER["b"]) as watched:
        # Its inside address went with the tunnel.
        run_at_a = lab.a.namespace.run
        run_at_a("ping", "-c", "1", "-W", "1", INNER["b"], check=False)
        until(lambda: watched.clear > 0, "in clear, as the operator wants it")
