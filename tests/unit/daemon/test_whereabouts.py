"""Where an initiator calls its peer."""

import socket

import pytest

from gateway.config.model import Endpoint
from gateway.errors import GatewayError
from gateway.host.path import SocketAddress
from gateway.host.resolver import Resolver
from gateway.tunnels.peer_addresses import Whereabouts
from tests.unit.daemon.test_resolver import NAME, Names, names

__all__ = ["names"]

ENDPOINT = Endpoint("192.0.2.1", 51810)
CONFIGURED = ("192.0.2.1", 51810)
HEARD = ("198.51.100.7", 40_000)
RECORDED = ("198.51.100.8", 40_001)


def whereabouts(
    endpoint: Endpoint | None = ENDPOINT, recorded: SocketAddress | None = None
) -> Whereabouts:
    families = {int(socket.AF_INET), int(socket.AF_INET6)}
    return Whereabouts(Resolver(families), endpoint, recorded)


async def calls(
    where: Whereabouts, heard: SocketAddress | None, count: int
) -> list[SocketAddress]:
    """Return where so many calls go that nobody answers."""
    found = []
    for _ in range(count):
        found.append(await where.find(heard))
        where.failed()
    return found


async def test_a_run_begins_with_the_endpoint() -> None:
    assert await calls(whereabouts(), None, 3) == [CONFIGURED] * 3
    both = [CONFIGURED, RECORDED]
    assert await calls(whereabouts(recorded=RECORDED), None, 4) == both * 2


async def test_the_last_address_heard_comes_first_and_alternates() -> None:
    where = whereabouts(recorded=RECORDED)
    where.answered()
    assert where.known(HEARD) == HEARD
    assert await calls(where, HEARD, 4) == [HEARD, CONFIGURED] * 2
    where.failed()
    where.answered()
    assert await where.find(HEARD) == HEARD


async def test_a_changed_endpoint_is_called_next() -> None:
    where = whereabouts()
    where.answered()
    where.reconfigure(ENDPOINT)
    assert where.known(HEARD) == HEARD
    where.reconfigure(Endpoint("192.0.2.9", 7))
    assert where.known(HEARD) is None
    assert await calls(where, HEARD, 2) == [("192.0.2.9", 7), HEARD]


async def test_an_end_without_an_endpoint_knows_what_it_heard() -> None:
    where = whereabouts(None)
    with pytest.raises(GatewayError, match="the peer's address is not known"):
        await where.find(None)
    assert await calls(where, HEARD, 3) == [HEARD] * 3
    assert await calls(whereabouts(None, RECORDED), None, 2) == [RECORDED] * 2


async def test_every_address_of_a_name_has_its_turn(names: Names) -> None:
    names.addresses = ["192.0.2.1", "2001:db8::2", "192.0.2.3"]
    where = whereabouts(NAME)
    where.answered()
    assert await calls(where, HEARD, 8) == [
        HEARD,
        ("192.0.2.1", 51810),
        HEARD,
        ("2001:db8::2", 51810),
        HEARD,
        ("192.0.2.3", 51810),
        HEARD,
        ("192.0.2.1", 51810),
    ]
    assert names.asked == 2


async def test_an_address_of_the_name_that_was_heard_is_not_called_twice(
    names: Names,
) -> None:
    where = whereabouts(NAME)
    first, second = ("192.0.2.1", 51810), ("192.0.2.2", 51810)
    assert await where.find(None) == first
    where.answered()
    assert await calls(where, first, 2) == [first, second]


async def test_a_dead_resolver_does_not_cost_a_call(names: Names) -> None:
    names.error = socket.gaierror(-2, "Name or service not known")
    where = whereabouts(NAME)
    with pytest.raises(GatewayError, match="cannot resolve"):
        await where.find(None)
    assert await calls(where, HEARD, 3) == [HEARD] * 3
    assert await calls(whereabouts(NAME, RECORDED), None, 3) == [RECORDED] * 3
