"""What the bytes that one relay node sees say about the key: nothing.

Of two paths, node b is given everything it can see: its messages, its pads, and the
shares it decrypted. All of that is held fixed, byte for byte, while the share on the
other path takes other values. The key then differs each time, and its first byte takes
every value: nothing b sees favours one.
"""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

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


def run(
    folder: Path, shares: tuple[bytes, bytes]
) -> tuple[dict[str, list[bytes]], bytes]:
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
    seen = {
        relay: sorted(data for s, r, data in network.sent if relay in (s, r))
        for relay in ("b", "c")
    }
    network.close()
    assert network.sinks["a"].keys == network.sinks["d"].keys
    (key,) = network.sinks["d"].keys.values()
    return seen, key


@pytest.mark.parametrize(("relay", "known"), [("b", 0), ("c", 1)])
def test_same_view_of_either_relay_other_keys(
    tmp_path: Path, relay: str, known: int
) -> None:
    views, keys = [], set()
    for number in range(6):
        other, mine = bytes([number]) * 32, b"M" * 32
        shares = (mine, other) if known == 0 else (other, mine)
        seen, key = run(tmp_path / str(number), shares)
        views.append([data for data in seen[relay] if len(data) > 100])
        keys.add(key)
    assert all(view == views[0] for view in views)
    assert len(views[0]) == 2
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
    message = next(carried(data) for data in seen["b"] if data[4] == 0 and data[1] == 1)
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
