"""``qgw network``: what it prints."""

import json

from gateway.control.network_schema import (
    NetworkLink,
    NetworkNode,
    NetworkResult,
    NetworkRoute,
)
from tests.cli.conftest import StartDaemon


def a_network() -> NetworkResult:
    def node(name: str, ago: float | None, *, near: bool = False) -> NetworkNode:
        return NetworkNode(
            node=name, neighbour=near, connected=near, heard_ago_s=ago, avoided=False
        )

    return NetworkResult(
        node="redu",
        forward=False,
        listen=["10.9.0.1:51813"],
        trouble="",
        refused={},
        nodes=[node("lux", 3.2, near=True), node("redu", 0.0), node("sin", None)],
        links=[
            NetworkLink(nodes=["redu", "lux"], pads=2000, pads_back=1987),
            NetworkLink(nodes=["lux", "sin"], pads=None, pads_back=None),
        ],
        routes=[
            NetworkRoute(
                link="redu-sin",
                to="sin",
                paths=[["redu", "lux", "sin"], ["redu", "bern", "sin"]],
                wanted_paths=2,
                available=500,
                drawn=540,
                error="",
            )
        ],
    )


def test_nodes_links_and_routes(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"network": a_network()})
    result = daemon.qgw("network")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "node: redu\n"
        "  listening: 10.9.0.1:51813\n"
        "  relays for others: no\n"
        "\n"
        "NODE  HEARD              STANDING\n"
        "lux   3s ago             neighbour, connected\n"
        "sin   never or long ago  -\n"
        "\n"
        "LINK        PADS      PADS BACK\n"
        "redu - lux  2000      1987\n"
        "lux - sin   not told  not told\n"
        "\n"
        "RELAYED   TO   AVAILABLE  DRAWN  PATH\n"
        "redu-sin  sin  500        540    redu > lux > sin\n"
        "                                 redu > bern > sin\n"
    )
    assert daemon.calls == [("network", {})]
    assert json.loads(daemon.qgw("network", "--json").out) == a_network()


def test_trouble_is_told_and_steers_no_terminal(start_daemon: StartDaemon) -> None:
    found = a_network()
    found["trouble"] = "address in use\x1b[2J"
    found["refused"] = {"hello": 3}
    found["nodes"][0]["connected"] = False
    found["nodes"][0]["avoided"] = True
    found["routes"][0]["paths"] = []
    found["routes"][0]["error"] = "no 2 disjoint path(s)\x07"
    out = start_daemon({"network": found}).qgw("network").out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "trouble: address in use" in out
    assert "refused: hello 3" in out
    assert "neighbour, not connected, avoided: it failed a moment ago" in out
    assert "redu-sin: no 2 disjoint path(s)" in out


def test_without_a_network(start_daemon: StartDaemon) -> None:
    empty = NetworkResult(
        node="",
        forward=False,
        listen=[],
        trouble="",
        refused={},
        nodes=[],
        links=[],
        routes=[],
    )
    result = start_daemon({"network": empty}).qgw("network")
    assert result.code == 0
    assert result.out == "no network: the configuration has no table [relay]\n"
