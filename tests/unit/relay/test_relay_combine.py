"""What the bytes that one relay node sees say about the key: nothing.

Of two paths, a relay node is given everything it can see: every byte that comes to it
and goes from it, answers included, every pad it ever had, what its store says of them,
and so the shares it decrypted. All of that is the same, byte for byte, while the share
on the other path takes other values. The key then differs each time, and its first byte
takes every value: nothing the node sees favours one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from gateway.keystore.base import KeyStanding
from gateway.relay.combine import combine_shares, key_id_of
from gateway.relay.hop import open_keys
from gateway.relay.node import RelayNode
from gateway.relay.pads import stock_name
from gateway.secret import Secret
from tests.unit.relay.bench import Network, carried, make_pads

ROUTES = (("a", "b", "d"), ("a", "c", "d"))
LINKS = [("a", "b"), ("b", "d"), ("a", "c"), ("c", "d")]
BUNDLE = UUID(int=7)


def drawing(*values: bytes) -> Iterator[bytes]:
    yield BUNDLE.bytes
    yield from values


@dataclass
class View:
    """All that one relay node sees and has.

    Attributes:
        messages: What came and went, in order.
        pads: Every pad it was ever given, by stock.
        stored: What its store knows of each.
        disk: Its files, with what was erased but is not overwritten yet.
    """

    messages: list[tuple[str, str, bytes]]
    pads: dict[str, list[tuple[UUID, bytes]]]
    stored: dict[str, list[KeyStanding]]
    disk: bytes = field(repr=False)


def look(network: Network, relay: str) -> View:
    pads = {
        stock_name(x, y): [
            (pad.key_id, pad.key.expose()) for pad in make_pads(stock_name(x, y), 0, 3)
        ]
        for a, b in LINKS
        for x, y in ((a, b), (b, a))
        if relay in (a, b)
    }
    store = network.stores[relay]
    assert set(store.stocks.links()) == set(pads)  # it keeps nothing else
    return View(
        [each for each in network.sent if relay in each[:2]],
        pads,
        {
            stock: list(store.ledger.standing(stock, [key_id for key_id, _ in held]))
            for stock, held in pads.items()
        },
        b"".join(
            path.read_bytes() for path in sorted((network.folder / relay).iterdir())
        ),
    )


def run(folder: Path, shares: tuple[bytes, bytes]) -> tuple[dict[str, View], bytes]:
    """Relay one key made of these shares; return what each relay saw, and the key."""
    network = Network(folder, LINKS)
    network.fill(3)
    values = drawing(*shares)
    network.nodes["a"] = RelayNode(
        "a",
        ["b", "c"],
        network.stores["a"],
        network.sinks["a"],
        draw=lambda _size: next(values),
    )
    network.start(*ROUTES, count=1)
    network.run()
    views = {relay: look(network, relay) for relay in ("b", "c")}
    network.close()
    assert network.sinks["a"].keys == network.sinks["d"].keys
    (key,) = network.sinks["d"].keys.values()
    return views, key


@pytest.mark.parametrize(("relay", "known"), [("b", 0), ("c", 1)])
def test_same_view_of_either_relay_other_keys(
    tmp_path: Path, relay: str, known: int
) -> None:
    views, keys = [], set()
    for number in range(6):
        other, mine = bytes([number]) * 32, b"M" * 32
        shares = (mine, other) if known == 0 else (other, mine)
        seen, key = run(tmp_path / str(number), shares)
        views.append(seen[relay])
        keys.add(key)
        # Nor is anything of the key, or of a share, at rest in the node's files.
        for secret in (key, mine, other if number else key):
            assert secret not in seen[relay].disk
    first = views[0]
    assert len(first.messages) == 4  # a batch in and out, an answer in and out
    assert {KeyStanding.USED, KeyStanding.HELD} == {
        standing for each in first.stored.values() for standing in each
    }
    for view in views[1:]:
        assert (view.messages, view.pads, view.stored) == (
            first.messages,
            first.pads,
            first.stored,
        )
    assert len(keys) == 6


def test_every_value_stays_possible_for_who_knows_one_share() -> None:
    key_id = key_id_of(BUNDLE, ROUTES, 0)
    known = Secret(b"M" * 32)
    found = {
        combine_shares([known, Secret(number.to_bytes(32))], key_id, ROUTES).expose()
        for number in range(4096)
    }
    assert len(found) == 4096
    assert {key[0] for key in found} == set(range(256))


def test_every_share_fits_what_is_on_the_wire(tmp_path: Path) -> None:
    """For whoever has the ciphertext only: each plaintext has its one pad."""
    seen, _ = run(tmp_path, (b"1" * 32, b"2" * 32))
    message = next(
        carried(data) for sender, _, data in seen["b"].messages if sender == "a"
    )
    for value in (bytes(32), b"\xff" * 32, b"anything of thirty-two bytes!!!!"):
        pad = bytes(x ^ y for x, y in zip(message.sealed, value, strict=True))
        (share,) = open_keys(message, [Secret(pad)])
        assert share.expose() == value
    true = make_pads(stock_name("a", "b"), 2, 1)[0].key
    assert open_keys(message, [true])[0].expose() == b"1" * 32


def test_key_depends_on_routes_their_order_and_key_id() -> None:
    shares = [Secret(b"1" * 32), Secret(b"2" * 32)]
    key_id = key_id_of(BUNDLE, ROUTES, 0)
    keys = [
        combine_shares(shares, key_id, ROUTES),
        combine_shares(shares[::-1], key_id, ROUTES),
        combine_shares(shares, key_id, ROUTES[::-1]),
        combine_shares(shares, key_id_of(BUNDLE, ROUTES, 1), ROUTES),
        combine_shares([Secret(b"1" * 31), Secret(b"1" + b"2" * 32)], key_id, ROUTES),
    ]
    assert len({key.expose() for key in keys}) == len(keys)
    with pytest.raises(ValueError, match="one share for each route"):
        combine_shares(shares, key_id, ROUTES[:1])


def test_key_id_names_the_path() -> None:
    ids = {
        key_id_of(BUNDLE, ROUTES, 0),
        key_id_of(BUNDLE, ROUTES, 1),
        key_id_of(BUNDLE, ROUTES[:1], 0),
        key_id_of(BUNDLE, ROUTES[::-1], 0),
        key_id_of(UUID(int=8), ROUTES, 0),
        key_id_of(BUNDLE, [("a", "bd"), ("a", "c", "d")], 0),
    }
    assert len(ids) == 6
    assert all(
        (key_id.version, key_id.variant) == (8, "specified in RFC 4122")
        for key_id in ids
    )
