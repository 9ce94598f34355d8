import pytest

from gateway.errors import RelayError, RelayFault
from gateway.relay.events import BundleDelivered, BundleFailed, MessageRefused
from gateway.relay.messages import PAD_TAG_SIZE, SHARE_SIZE
from gateway.relay.pads import stock_name
from tests.unit.relay.bench import Network, carried, make_pads

ROUTE = ("redu", "lux", "sin")


def faults(network: Network, name: str) -> list[RelayFault]:
    return [
        event.error.fault
        for event in network.events(name)
        if isinstance(event, MessageRefused | BundleFailed)
    ]


def test_both_ends_hold_the_same_keys_and_the_relay_none(chain: Network) -> None:
    chain.start(ROUTE, count=3)
    chain.run()
    assert len(chain.sinks["redu"].keys) == 3
    assert chain.sinks["redu"].keys == chain.sinks["sin"].keys
    assert not chain.sinks["lux"].keys
    assert [each.confirmed for each in chain.sinks["redu"].relayed] == [True]
    assert [each.confirmed for each in chain.sinks["sin"].relayed] == [False]
    assert isinstance(chain.events("redu")[-1], BundleDelivered)


def test_every_hop_spends_the_same_pads_at_both_ends(chain: Network) -> None:
    chain.start(ROUTE, count=3)
    chain.run()
    for a, b in chain.links:
        stock = stock_name(a, b)
        left = {chain.stores[end].stocks.status(stock).available for end in (a, b)}
        assert left == {20 - 5}
        assert chain.stores[a].stocks.status(stock_name(b, a)).consumed == 0


def test_neither_keys_nor_pads_appear_on_the_wire(chain: Network) -> None:
    chain.start(ROUTE, count=3)
    chain.run()
    wire = b"".join(data for _, _, data in chain.sent)
    assert not any(key in wire for key in chain.sinks["sin"].keys.values())
    first, second = (carried(data).sealed for _, _, data in chain.sent[:2])
    assert first != second


def test_two_paths_make_one_key(ring: Network) -> None:
    ring.start(("a", "b", "d"), ("a", "c", "d"), count=4)
    ring.run()
    assert len(ring.sinks["a"].keys) == 4
    assert ring.sinks["a"].keys == ring.sinks["d"].keys


def test_one_path_alone_gives_no_key(ring: Network) -> None:
    ring.start(("a", "b", "d"), ("a", "c", "d"))
    ring.queue = [entry for entry in ring.queue if entry[1] != "c"]
    ring.run()
    ring.pass_time(100)
    assert not ring.sinks["a"].keys
    assert not ring.sinks["d"].keys
    assert faults(ring, "a") == [RelayFault.LOST]
    assert ring.nodes["d"].get_timer() is None


def test_a_destination_that_forgot_a_path_gives_no_key(ring: Network) -> None:
    ring.start(("a", "b", "d"), ("a", "c", "d"))
    late = [entry for entry in ring.queue if entry[1] == "c"]
    ring.queue = [entry for entry in ring.queue if entry[1] != "c"]
    ring.run()
    ring.boot("d")
    ring.queue = late
    ring.run()
    assert not ring.sinks["a"].keys
    assert not ring.sinks["d"].keys
    assert faults(ring, "a") == [RelayFault.LOST]


@pytest.mark.parametrize("hop", [0, 1])
def test_a_flipped_bit_is_forgery_and_costs_no_pad(chain: Network, hop: int) -> None:
    chain.start(ROUTE)
    for _ in range(hop):
        chain.step()
    sender, receiver, data = chain.queue.pop()
    stock = stock_name(sender, receiver)
    before = chain.stores[receiver].stocks.status(stock)
    # Everything after the route: tags, payload, authenticator; and path and bundle.
    for at in (2, 3, 8, 20, len(data) - 1, len(data) - 17):
        bad = bytearray(data)
        bad[at] ^= 1
        chain.nodes[receiver].receive(sender, bytes(bad), now=0.0)
        refused = faults(chain, receiver)[-1]
        assert refused in {RelayFault.FORGED, RelayFault.MALFORMED}, at
    assert chain.stores[receiver].stocks.status(stock).consumed == before.consumed
    assert chain.stores[receiver].stocks.status(stock).reserved == 0
    chain.queue.append((sender, receiver, data))  # the true one still goes through
    chain.run()
    assert chain.sinks["redu"].keys == chain.sinks["sin"].keys != {}


def test_a_tag_of_another_pad_is_never_accepted(chain: Network) -> None:
    chain.start(ROUTE)
    sender, receiver, data = chain.queue.pop()
    at = len(data) - 16 - 3 * (SHARE_SIZE + PAD_TAG_SIZE)
    swapped = bytearray(data)
    swapped[at : at + 4], swapped[at + 4 : at + 8] = (
        data[at + 4 : at + 8],
        data[at : at + 4],
    )
    chain.nodes[receiver].receive(sender, bytes(swapped), now=0.0)
    assert faults(chain, receiver) == [RelayFault.FORGED]


def test_a_replay_is_refused_and_changes_nothing(chain: Network) -> None:
    chain.start(ROUTE)
    first = chain.queue[0]
    chain.run()
    keys = dict(chain.sinks["sin"].keys)
    chain.events("redu")
    chain.events("lux")
    for _ in range(2):
        chain.queue = [first]
        chain.run()
    assert faults(chain, "lux") == [RelayFault.REPLAYED] * 2
    assert faults(chain, "redu") == [RelayFault.UNEXPECTED] * 2
    assert chain.sinks["sin"].keys == keys


def test_a_message_for_another_hop_is_refused(chain: Network) -> None:
    chain.start(ROUTE)
    _, _, data = chain.queue[0]
    for peer, receiver in (("lux", "sin"), ("lux", "redu"), ("sin", "lux")):
        chain.nodes[receiver].receive(peer, data, now=0.0)
        assert faults(chain, receiver) == [RelayFault.WRONG_HOP]
    chain.nodes["lux"].receive("stranger", data, now=0.0)
    assert faults(chain, "lux") == [RelayFault.WRONG_HOP]


def test_bundles_may_overtake_each_other(chain: Network) -> None:
    for _ in range(3):
        chain.start(ROUTE)
    while chain.queue:
        chain.queue.reverse()
        chain.step()
    assert len(chain.sinks["redu"].keys) == 9
    assert chain.sinks["redu"].keys == chain.sinks["sin"].keys


def test_pads_run_out_at_the_origin(chain: Network) -> None:
    with pytest.raises(RelayError) as caught:
        chain.start(ROUTE, count=19)
    assert caught.value.fault is RelayFault.PADS_EXHAUSTED
    assert chain.stores["redu"].stocks.status("redu>lux").available == 20
    assert not chain.queue


def test_pads_run_out_on_the_way(chain: Network) -> None:
    chain.stores["lux"].stocks.purge("lux>sin", all_keys=True)
    chain.start(ROUTE)
    chain.run()
    assert faults(chain, "lux") == [RelayFault.PADS_EXHAUSTED]
    failed = chain.events("redu")[-1]
    assert isinstance(failed, BundleFailed)
    assert (failed.error.fault, failed.error.node) == (RelayFault.PADS_EXHAUSTED, "lux")


def test_ends_out_of_step_say_so_and_heal(chain: Network) -> None:
    chain.stores["lux"].stocks.purge("lux>sin", all_keys=True)
    chain.stores["lux"].intake.add("lux>sin", make_pads("only here", 0, 9))
    chain.start(ROUTE)
    chain.run()
    assert faults(chain, "sin") == [RelayFault.OUT_OF_STEP]
    assert faults(chain, "redu") == [RelayFault.OUT_OF_STEP]
    chain.stores["lux"].stocks.purge("lux>sin", all_keys=True)
    chain.fill(10)
    chain.start(ROUTE)
    chain.run()
    assert chain.sinks["redu"].keys == chain.sinks["sin"].keys != {}


def test_a_node_that_disappears_is_named(chain: Network) -> None:
    chain.start(ROUTE)
    chain.step()
    chain.queue.clear()  # Singapore never gets it
    chain.pass_time(6)
    chain.run()
    failed = chain.events("redu")[-1]
    assert isinstance(failed, BundleFailed)
    assert (failed.error.fault, failed.error.node) == (RelayFault.LOST, "sin")
    assert all(node.get_timer() is None for node in chain.nodes.values())


def test_a_late_answer_is_not_answered_twice(chain: Network) -> None:
    chain.start(ROUTE)
    chain.step()
    chain.step()
    answer = chain.queue.pop()
    chain.pass_time(6)
    chain.queue.append(answer)
    chain.run()
    assert RelayFault.UNEXPECTED in faults(chain, "lux")
    assert not chain.sinks["redu"].keys


def test_a_forged_answer_ends_nothing(chain: Network) -> None:
    chain.start(ROUTE)
    chain.step()
    chain.step()
    sender, receiver, data = chain.queue.pop()
    for at in range(4, len(data)):
        bad = bytearray(data)
        bad[at] ^= 1
        chain.nodes[receiver].receive(sender, bytes(bad), now=0.0)
    assert set(faults(chain, "lux")) <= {
        RelayFault.FORGED,
        RelayFault.MALFORMED,
        RelayFault.UNEXPECTED,
    }
    chain.queue.append((sender, receiver, data))
    chain.run()
    assert chain.sinks["redu"].keys == chain.sinks["sin"].keys != {}


@pytest.mark.parametrize(
    ("route", "fault"),
    [
        (("redu", "lux", "redu"), RelayFault.LOOP),
        (("redu", "lux", "sin", "lux"), RelayFault.LOOP),
        (("redu", "sin"), RelayFault.UNKNOWN_NODE),
        (("lux", "sin"), RelayFault.UNKNOWN_NODE),
        (("redu",), RelayFault.MALFORMED),
        (("redu", "LUX"), RelayFault.MALFORMED),
    ],
)
def test_wrong_routes_take_no_pad(
    chain: Network, route: tuple[str, ...], fault: RelayFault
) -> None:
    with pytest.raises(RelayError) as caught:
        chain.nodes["redu"].start([route], 1, now=0.0)
    assert caught.value.fault is fault
    assert chain.stores["redu"].stocks.status("redu>lux").consumed == 0


def test_a_relay_that_knows_no_such_node_says_so(chain: Network) -> None:
    chain.start(("redu", "lux", "mars"))
    chain.run()
    failed = chain.events("redu")[-1]
    assert isinstance(failed, BundleFailed)
    assert (failed.error.fault, failed.error.node) == (RelayFault.UNKNOWN_NODE, "lux")


def test_paths_that_share_a_node_are_refused(ring: Network) -> None:
    with pytest.raises(RelayError) as caught:
        ring.start(("a", "b", "d"), ("a", "b", "d"))
    assert caught.value.fault is RelayFault.NO_PATH
