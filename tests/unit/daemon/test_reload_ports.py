"""Other addresses and ports to listen on, by reload, while both ends talk."""

import socket
from collections.abc import Iterator

import pytest

from gateway.errors import ConfigError, GatewayError, PlaneConflictError
from gateway.host.path import Path
from gateway.host.sockets import ControlSockets
from tests.ports import free_ports
from tests.unit.daemon.services import TUNNEL, End, until
from tests.unit.daemon.test_daemon_reload import reload
from tests.unit.daemon.test_daemon_rotation import in_force, rotate

Pair = tuple[End, End]


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield int(sock.getsockname()[1])


def sockets_of(end: End) -> ControlSockets:
    return end.service.exchange.sockets


def bound(end: End) -> set[tuple[str, int]]:
    return {sock.getsockname()[:2] for sock in sockets_of(end).sockets}


def calls(end: End) -> tuple[str, int]:
    """Where an end's peer is, as it believes."""
    path = end.service.exchange.machine.peer_address(TUNNEL)
    assert isinstance(path, Path)
    return path.remote


@pytest.mark.parametrize("which", [0, 1])
async def test_another_port_at_either_end(running: Pair, which: int) -> None:
    end, peer = running[which], running[1 - which]
    old, (new,) = end.port, free_ports(1)
    end.gateway_keys["listen"] = [f"127.0.0.1:{new}"]
    result, _ = await reload(end)
    assert (result["changed"], result["restart_needed"]) == (["gateway.listen"], [])
    assert bound(end) == {("127.0.0.1", new)}
    await until(lambda: in_force(running, 1), "an epoch by the new port")
    await until(lambda: calls(peer) == ("127.0.0.1", new), "what the peer knows")
    sockets_of(end).leave()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", old))  # it is free for others
        await rotate(running)
        assert calls(peer) == ("127.0.0.1", new)


async def test_a_port_that_is_taken_leaves_the_old_one(
    running: Pair, taken: int
) -> None:
    for end in running:
        end.gateway_keys["listen"] = [f"127.0.0.1:{taken}"]
        end.write()
        with pytest.raises(ConfigError) as caught:
            await end.call("reload")
        (problem,) = caught.value.problems
        assert (problem.key, str(taken) in problem.found) == ("gateway.listen", True)
        assert bound(end) == {("127.0.0.1", end.port)}
    await rotate(running)


async def test_one_of_several_is_taken(running: Pair, taken: int) -> None:
    """By somebody who came between the check and the change: nothing is left open."""
    end = running[0]
    sockets, (free,) = sockets_of(end), free_ports(1)
    (own,) = sockets.listen
    wanted = [type(own)("127.0.0.1", port) for port in (free, taken)]
    with pytest.raises(GatewayError, match=f"cannot listen on 127.0.0.1:{taken}"):
        sockets.rebind(wanted)
    assert sockets.listen == (own,)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", free))
    await rotate(running)


async def test_all_addresses_and_one_have_the_same_port(running: Pair) -> None:
    end = running[1]
    for host in ("0.0.0.0", "127.0.0.1"):  # noqa: S104  # the point
        end.gateway_keys["listen"] = [f"{host}:{end.port}"]
        result, _ = await reload(end)
        assert result["changed"] == ["gateway.listen"]
        assert bound(end) == {(host, end.port)}
        sockets_of(end).leave()
        await rotate(running)
        # Nobody else can join them.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                sock.bind(("127.0.0.1", end.port))


async def test_back_before_the_old_one_is_closed(running: Pair) -> None:
    end = running[0]
    (new,) = free_ports(1)
    for port in (new, end.port, new):
        end.gateway_keys["listen"] = [f"127.0.0.1:{port}"]
        assert (await reload(end))[0]["changed"] == ["gateway.listen"]
        assert bound(end) == {("127.0.0.1", port)}
    sockets_of(end).leave()
    await rotate(running)


async def test_ports_of_devices(running: Pair) -> None:
    end = running[0]
    ports = free_ports(2)
    end.plane.kind = "wireguard"
    end.gateway_keys["wireguard_ports"] = ports
    result, asked = await reload(end)
    assert result["changed"] == ["gateway.wireguard_ports"]
    assert ("listen_on", tuple(ports)) in asked
    await until(lambda: in_force(running, 1), "an epoch that tells the peer")


async def test_ports_of_devices_that_are_refused(running: Pair) -> None:
    end = running[0]
    (new,) = free_ports(1)
    end.gateway_keys["wireguard_ports"] = free_ports(2)
    end.gateway_keys["listen"] = [f"127.0.0.1:{new}"]
    end.write()
    end.plane.fail_next("listen_on", PlaneConflictError("UDP port 7 is taken"))
    with pytest.raises(PlaneConflictError, match="port 7"):
        await end.call("reload")
    assert bound(end) == {("127.0.0.1", end.port)}
    assert end.service.config.wireguard_ports != end.gateway_keys["wireguard_ports"]
    await rotate(running)
    result, _ = await reload(end)
    assert result["changed"] == ["gateway.listen", "gateway.wireguard_ports"]
