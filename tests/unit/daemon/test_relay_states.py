"""What neighbours say of the network: whom it may be of, and what becomes of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.relay.view import STATE_INTERVAL, STATE_LIFETIME, NetworkView
from gateway.wire.network import (
    MAX_NEIGHBOURS,
    MAX_NODE_NAME,
    NetworkMessage,
    NodeState,
    decode_network,
    encode_network,
)
from tests.unit.daemon.network_runs import eventually, in_force, run_fast
from tests.unit.daemon.network_sites import Sites

STAR = (("hub", "a"), ("hub", "b"), ("hub", "c"))
LINKS = (("me", "a"), ("a", "b"), ("me", "c"))
FLOOD = 5_000


@pytest.fixture
def view() -> NetworkView:
    return NetworkView("me", LINKS, 1_000)


def test_only_other_configured_nodes_have_states(view: NetworkView) -> None:
    for node in ("me", "mars"):
        assert not view.receive(NodeState(node, 9, (("a", 5),)), now=0.0)
    assert view.receive(NodeState("a", 9, (("b", 5), ("mars", 5), ("c", 5))), now=0.0)
    assert view._heard.keys() == {"a"}
    assert view._heard["a"].pads == {"b": 5}  # its configured links, no others


def test_old_serials_are_no_news(view: NetworkView) -> None:
    assert view.receive(NodeState("a", 9, (("b", 5),)), now=0.0)
    for serial in (9, 8, 0):
        assert not view.receive(NodeState("a", serial, (("b", 7),)), now=1.0)
    assert view.pads("a", "b", now=1.0) == 5
    assert view.receive(NodeState("a", 10, (("b", 7),)), now=2.0)


def test_a_node_whose_clock_went_back_is_heard_after_a_while(view: NetworkView) -> None:
    assert view.receive(NodeState("a", 10**12, (("b", 5),)), now=0.0)
    turns = [
        view.receive(NodeState("a", turn, (("b", 7),)), now=turn * STATE_INTERVAL)
        for turn in range(1, 10)
    ]
    assert turns.index(True) + 1 == STATE_LIFETIME / STATE_INTERVAL
    assert all(turns[turns.index(True) :])


def test_a_network_that_is_configured_anew_goes_on_with_its_serials(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload while the clock stands an hour earlier."""
    sites = Sites(short_folder, (("a", "b"),))

    async def trial() -> None:
        await sites.start()
        try:
            a = sites["a"].service.relaying
            assert a.view is not None
            before = a.view
            before._serial += 3_600_000
            sites["a"].tables["relay.neighbours.b"]["pads"] = 77
            sites["a"].write()
            await sites["a"].call("reload")
            assert a.view is not before
            assert a.view.own_state().serial > before.serial
        finally:
            await sites.stop()

    run_fast(trial())


def test_a_star(short_folder: Path) -> None:
    """A hostile neighbour says what it likes, as often as it likes."""
    sites = Sites(short_folder, STAR)

    async def trial() -> None:
        try:
            await sites.start()
            await eventually(
                lambda: all(in_force_at_hub(sites, name) for name in "abc"), "tunnels"
            )
            hub = sites["hub"].service.relaying
            view = hub.view
            assert view is not None
            await eventually(
                lambda: all(
                    one.heard_ago is not None for one in view.nodes(now=hub.now)
                ),
                "all nodes heard",
            )
            sent: list[tuple[str, NetworkMessage]] = []
            send = hub._send

            def count(tunnel: str, message: NetworkMessage) -> bool:
                sent.append((tunnel, message))
                return send(tunnel, message)

            hub._send = count

            known = view._heard["b"]
            for stranger in ("redu-sin", "no-tunnel"):
                hub.receive(stranger, NodeState("b", 2**63, ()))
            hub.receive("hub-a", NodeState("hub", 2**63, (("a", 7),)))
            hub.receive("hub-a", NodeState("mars", 1, (("a", 7),)))
            hub.receive("hub-a", NodeState("b", known.serial, (("hub", 7),)))
            assert view._heard["b"] is known
            assert not told(sent, ("b", "mars"))
            assert view.own_state().serial < 2**62

            for serial in range(FLOOD):
                for node in "bc":
                    hub.receive("hub-a", NodeState(node, 2**46 + serial, ()))
            # What b says of itself counts, and is heard meanwhile.
            assert view._heard["b"].serial < 2**46
            truth = view._heard["b"].serial
            await eventually(
                lambda: view._heard["b"].serial > truth, "what b says of itself"
            )
            assert view._heard["b"].serial < 2**46

            began = hub.now
            for serial in range(FLOOD):
                for node in "bc":
                    hub.receive(f"hub-{node}", NodeState(node, 2**46 + serial, ()))
            sent.clear()
            await eventually(lambda: told(sent, ("b", "c")), "something passed on")
            lasted = hub.now - began
            passed = told(sent, ("b", "c"))
            assert len(passed) <= 2 * (lasted + 2)  # one a second of each
            assert len(view._heard) == 3

            # After a minute without it, the truth is heard again.
            def honest() -> bool:
                return view._heard["b"].serial < 2**46

            await eventually(honest, "what b says of itself")
        finally:
            await sites.stop()

    def told(
        sent: list[tuple[str, NetworkMessage]], nodes: tuple[str, ...]
    ) -> list[tuple[str, NetworkMessage]]:
        return [
            one
            for one in tuple(sent)
            if isinstance(one[1], NodeState) and one[1].node in nodes
        ]

    run_fast(trial())


def in_force_at_hub(sites: Sites, name: str) -> bool:
    return sites["hub"].in_force(f"hub-{name}") and sites[name].in_force(f"hub-{name}")


def test_states_go_round_a_ring_once(short_folder: Path) -> None:
    ring = (("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"))
    sites = Sites(short_folder, ring)
    sent: dict[tuple[str, str, int], int] = {}

    def watch(name: str) -> Callable[[str, NetworkMessage], bool]:
        send = sites[name].service.relaying._send

        def count(tunnel: str, message: NetworkMessage) -> bool:
            if isinstance(message, NodeState):
                key = (tunnel + name, message.node, message.serial)
                sent[key] = sent.get(key, 0) + 1
            return send(tunnel, message)

        return count

    async def trial() -> None:
        try:
            await sites.start()
            for name in "abcd":
                sites[name].service.relaying._send = watch(name)
            await eventually(
                lambda: all(in_force(sites, f"{a}-{b}") for a, b in ring), "tunnels"
            )

            def all_heard() -> bool:
                views = [sites[name].service.relaying for name in "abcd"]
                return all(
                    one.heard_ago is not None
                    for each in views
                    if each.view is not None
                    for one in each.view.nodes(now=each.now)
                )

            await eventually(all_heard, "all of all")
        finally:
            await sites.stop()

    run_fast(trial())
    assert sent
    assert set(sent.values()) == {1}


def test_a_state_survives_its_encoding() -> None:
    """Sixteen neighbours with the longest names fit one datagram."""
    names = [f"{number:0{MAX_NODE_NAME}}" for number in range(MAX_NEIGHBOURS + 1)]
    state = NodeState(names[-1], 2**64 - 1, tuple((name, 7) for name in names[:-1]))
    encoded = encode_network(state)
    assert len(encoded) < 1_000
    assert decode_network(encoded) == state
    lonely = replace(state, pads=())
    assert decode_network(encode_network(lonely)) == lonely
