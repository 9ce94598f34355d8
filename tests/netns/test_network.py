"""Three real daemons and four real KMEs: a tunnel whose keys are relayed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.network import TUNNELS, Network, three_hosts, write_files
from lab.network_watch import standing
from lab.tools import finish_tool, start_capture

from tests.netns.labs import plane, until

PATIENCE = 60.0
"""Seconds for what takes five on an idle machine."""

STEADY = ('model = "constant"', "rate = 25600")
"""A hundred keys a second, simulated."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Redu, Luxembourg and Singapore, 172 ms apart; everything runs."""
    with three_hosts() as made:
        try:
            folder = tmp_path_factory.mktemp("n")
            write_files(made, folder, plane(), STEADY)
            for kme in reversed(made.kmes.values()):
                kme.start()
            for gateway in made.gateways.values():
                gateway.start()
            for gateway in made.gateways.values():
                gateway.wait_ready()
            yield made
        finally:
            made.stop()


def all_up(network: Network) -> bool:
    return set(standing(network).values()) == {"up"}


def epoch(network: Network, site: str, tunnel: str) -> int:
    shown = network.gateways[site].call("tunnel.show", name=tunnel)
    return int(shown["epoch"] or 0)


def test_the_relayed_tunnel_carries_packets(network: Network, tmp_path: Path) -> None:
    until(lambda: all_up(network), "every tunnel up", PATIENCE)
    capture = start_capture(network.hosts["redu"], str(tmp_path / "wire.pcap"))
    try:
        look_at_the_relayed_tunnel(network)
    finally:
        capture.terminate()
        found = finish_tool(capture)
    assert found["kinds"]["ip/6"] > 0  # the relay was on the wire


def look_at_the_relayed_tunnel(network: Network) -> None:
    (tunnel,) = (one for one in TUNNELS if one.name == "redu-sin")
    near, far = (tunnel.address(site) for site in tunnel.ends)
    network.hosts["redu"].run("ping", "-q", "-c", "5", "-W", "2", "-I", near, far)
    shown = network.gateways["redu"].call("tunnel.show", name="redu-sin")
    other = network.gateways["sin"].call("tunnel.show", name="redu-sin")
    assert shown["qkd_key"] in ("fresh", "chained")
    assert other["link"] == "redu-sin"
    (route,) = network.gateways["redu"].call("network")["routes"]
    assert route["paths"] == [["redu", "lux", "sin"]]
    drawn = route["drawn"]
    assert drawn > 0
    until(
        lambda: network.gateways["redu"].call("network")["routes"][0]["drawn"] > drawn,
        "more keys over the relay",
        PATIENCE,
    )


def test_stock_carries_the_tunnel_while_the_trusted_node_is_down(
    network: Network,
) -> None:
    until(lambda: all_up(network), "every tunnel up", PATIENCE)
    lux = network.gateways["lux"]
    lux.kill()
    before = epoch(network, "redu", "redu-sin")
    until(
        lambda: epoch(network, "redu", "redu-sin") >= before + 2,
        "two more epochs from stock",
        PATIENCE,
    )
    shown = network.gateways["redu"].call("network")
    (node,) = (one for one in shown["nodes"] if one["node"] == "lux")
    assert not node["connected"]
    lux.start()
    lux.wait_ready()
    until(lambda: all_up(network), "every tunnel again", PATIENCE)
    drawn = network.gateways["redu"].call("network")["routes"][0]["drawn"]

    def more() -> bool:
        return bool(
            network.gateways["redu"].call("network")["routes"][0]["drawn"] > drawn
        )

    until(more, "fresh keys over the node that came back", PATIENCE)
