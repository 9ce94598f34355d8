"""Peers that have names."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from gateway.config.model import Endpoint
from gateway.errors import GatewayError
from gateway.host import resolver as resolver_module
from gateway.host.resolver import Resolver
from gateway.rotation.phases import TunnelPhase
from tests.unit.daemon.services import TUNNEL, End, until
from tests.unit.daemon.test_daemon_rotation import in_force

V4 = {int(socket.AF_INET)}
NAME = Endpoint("peer.example", 51810)
Found = list[tuple[int, int, int, str, tuple[object, ...]]]


class Names:
    """What the system's resolver answers, and how often it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0
        self.error: Exception | None = None
        self.gate: threading.Event | None = None

    def look_up(self, host: str, port: int, *args: object, **kwargs: object) -> Found:
        self.asked += 1
        if self.gate is not None:
            self.gate.wait(10.0)
        if self.error is not None:
            raise self.error
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_DGRAM,
                17,
                "",
                (address, port),
            )
            for address in self.addresses
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    answers = Names("192.0.2.1", "192.0.2.2")
    monkeypatch.setattr(socket, "getaddrinfo", answers.look_up)
    yield answers
    if answers.gate is not None:
        answers.gate.set()


@pytest.mark.parametrize("host", ["192.0.2.9", "2001:db8::9"])
async def test_an_address_is_not_looked_up(names: Names, host: str) -> None:
    assert await Resolver(V4).resolve(Endpoint(host, 7)) == (host, 7)
    assert names.asked == 0


async def test_a_name_is_looked_up_once_and_again_after_silence(names: Names) -> None:
    resolver = Resolver(V4)
    for _ in range(3):
        assert await resolver.resolve(NAME) == ("192.0.2.1", 51810)
    assert names.asked == 1
    resolver.forget(NAME, ("192.0.2.1", 51810))  # it did not answer: the next one
    assert await resolver.resolve(NAME) == ("192.0.2.2", 51810)
    assert names.asked == 1
    names.addresses = ["192.0.2.7"]
    resolver.forget(NAME, ("192.0.2.2", 51810))
    assert await resolver.resolve(NAME) == ("192.0.2.7", 51810)
    assert names.asked == 2


async def test_tunnels_that_share_a_name_skip_no_address(names: Names) -> None:
    resolver = Resolver(V4)
    called = await resolver.resolve(NAME)
    for _ in range(3):  # three tunnels, all of which called the first address
        resolver.forget(NAME, called)
    assert await resolver.resolve(NAME) == ("192.0.2.2", 51810)
    assert names.asked == 1


async def test_families_without_a_socket_are_passed_over(names: Names) -> None:
    names.addresses = ["2001:db8::1", "192.0.2.5"]
    assert await Resolver(V4).resolve(NAME) == ("192.0.2.5", 51810)
    names.addresses = ["2001:db8::1"]
    with pytest.raises(GatewayError, match="no address of a family"):
        await Resolver(V4).resolve(NAME)


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(-2, "Name or service not known"),
        OSError(5, "Input/output error"),
        UnicodeError("label empty or too long"),
    ],
)
async def test_a_name_that_cannot_be_resolved(names: Names, error: Exception) -> None:
    names.error = error
    with pytest.raises(GatewayError, match=r"cannot resolve peer\.example") as caught:
        await Resolver(V4).resolve(NAME)
    assert caught.value.hint


async def test_a_slow_resolver_is_given_up(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "RESOLVE_TIMEOUT", 0.05)
    names.gate = threading.Event()
    with pytest.raises(GatewayError, match="no answer from the resolver"):
        await Resolver(V4).resolve(NAME)
    names.gate.set()


async def test_a_slow_resolver_does_not_delay_a_block(
    running: tuple[End, End], names: Names
) -> None:
    first = running[0]
    first.tunnel_keys[TUNNEL]["endpoint"] = f"peer.example:{running[1].port}"
    first.write()
    names.addresses = ["127.0.0.1"]
    names.gate = threading.Event()
    await first.call("reload")  # which makes an epoch with the new endpoint at once
    await until(lambda: names.asked, "the look-up")
    loop = asyncio.get_running_loop()
    first.driver.state.rotation.trial.lifetime.expires_at = loop.time()
    first.driver._on_timer()
    await until(lambda: first.plane.read_state(TUNNEL).blocked, "the block", 0.5)
    assert first.driver.state.rotation.phase is TunnelPhase.BLOCKED
    names.gate.set()
    await until(lambda: in_force(running, 1), "the tunnel's return")


async def test_a_name_no_resolver_can_spell_does_not_end_the_tunnel(
    ends: tuple[End, End], names: Names
) -> None:
    first, second = ends
    first.tunnel_keys[TUNNEL]["endpoint"] = f"peer.example:{second.port}"
    names.error = UnicodeError("label empty or too long")
    await second.start()
    await first.start()
    await until(lambda: first.driver.state.failure, "a failure")
    assert "cannot resolve peer.example" in (await first.status())["reason"]
    names.error = None
    names.addresses = ["127.0.0.1"]
    await until(lambda: in_force(ends), "the tunnel")
