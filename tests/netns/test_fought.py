"""Somebody takes away what the tunnel has in the kernel, once or again and again."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from lab.gateway import LINK, Gateway

from gateway.dataplane.choose import available_planes
from gateway.rotation.obstacles import AT_PEER
from tests.netns.labs import TUNNEL, Lab, make_lab, qgw, state, until

DEVICES = ("qgw-wg0", "qgw-wg1")
FIGHT = 15.0
"""Seconds for which somebody takes it away, ten times each."""


@pytest.fixture
def slow(pair: Any) -> Iterator[Lab]:
    """Two gateways with no second epoch in a test's time."""
    yield from started(pair, interval=60.0, lifetime=180.0)


@pytest.fixture
def quick(pair: Any) -> Iterator[Lab]:
    """Two gateways that would make several epochs in a test's time."""
    yield from started(pair, interval=4.0, lifetime=120.0)


def started(pair: Any, *, interval: float, lifetime: float) -> Iterator[Lab]:
    planes = [one for one in available_planes() if one.name.startswith("wireguard")]
    plane = next((one.name for one in planes if one.works), None)
    if plane is None:
        pytest.skip("; ".join(f"{one.name}: {one.hint}" for one in planes))
    with make_lab(pair, plane=plane, interval=interval, lifetime=lifetime) as made:
        for end in reversed(made.ends):
            end.start()
        for end in made.ends:
            end.wait_ready()
        until(lambda: [state(end) for end in made.ends] == ["up", "up"], "the tunnel")
        yield made


def consumed(end: Gateway) -> int:
    return int(end.call("keystore.status", link=LINK)[0]["consumed"])


def flush(end: Gateway) -> None:
    for device in DEVICES:
        end.namespace.run("ip", "addr", "flush", "dev", device, check=False)


def warnings(end: Gateway) -> list[str]:
    lines = end.log.read_text().splitlines()
    return [line for line in lines if "WARNING" in line or "ERROR" in line]


def test_flushed_once(slow: Lab) -> None:
    """Restored within a second, with no new keys; the next epoch works too."""
    spent = consumed(slow.a)
    flush(slow.a)
    began = time.monotonic()
    until(lambda: slow.ping(count=1), "traffic")
    assert time.monotonic() - began < 2.0
    assert consumed(slow.a) == spent
    assert qgw(slow.a, "tunnel", "rotate", TUNNEL).returncode == 0
    until(lambda: slow.a.tunnel()["epoch"] == 2, "the next epoch")
    until(lambda: slow.a.tunnel()["in_force"]["peer"], "its proof")
    assert slow.ping()


def test_flushed_again_and_again(slow: Lab) -> None:
    """Not up while it is missing, with what is; a few lines, and no keys."""
    spent, said = consumed(slow.a), len(warnings(slow.a))
    seen = set()
    until_then = time.monotonic() + FIGHT
    while time.monotonic() < until_then:
        flush(slow.a)
        found = slow.a.tunnel()
        seen.add((found["state"], found["reason"]))
        time.sleep(0.1)
    states = {each for each, _ in seen}
    assert "unproven" in states, seen
    assert any("is missing: somebody keeps taking it away" in why for _, why in seen)
    assert consumed(slow.a) == spent
    assert len(warnings(slow.a)) - said < 60
    until(lambda: state(slow.a) == "up", "the tunnel", 60.0)
    assert slow.ping()


def test_fought_over_at_the_responder(quick: Lab) -> None:
    """The initiator sees nothing of it, is told, and spends no keys on it."""
    until_told = time.monotonic() + FIGHT
    while state(quick.a) == "up" and time.monotonic() < until_told:
        flush(quick.b)
        time.sleep(0.1)
    spent, seen = consumed(quick.a), set()
    until_then = time.monotonic() + FIGHT
    while time.monotonic() < until_then:
        flush(quick.b)
        found = quick.a.tunnel()
        seen.add((found["state"], found["reason"]))
        time.sleep(0.1)
    assert seen == {("unproven", AT_PEER)}  # also in the moments when all is back
    assert consumed(quick.a) - spent <= 1  # one may have been under way
    until(lambda: [state(end) for end in quick.ends] == ["up", "up"], "both", 60.0)
    assert quick.ping()
