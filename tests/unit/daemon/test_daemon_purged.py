"""A stock that one end purged, or lost, under either policy: QKD keys come again."""

from collections import Counter
from uuid import UUID

import pytest

from tests.unit.daemon.services import LINK, End, until
from tests.unit.daemon.test_daemon_rotation import in_force, rotate

Pair = tuple[End, End]


async def keys_of(ends: Pair, epochs: int) -> list[str | None]:
    """Rotate; return the key of each epoch, which both ends name alike."""
    found = []
    for _ in range(epochs):
        await rotate(ends)
        named = [(await end.status())["key_id"] for end in ends]
        assert named[0] == named[1]
        found.append(named[0])
    return found


@pytest.fixture
def preferring(ends: Pair, policy: str) -> Pair:
    for end in ends:
        end.tunnel_keys["paris"]["qkd"] = policy
        end.link_keys |= {"capacity": 100, "low_water": 10}
    return ends


@pytest.mark.parametrize("policy", ["preferred", "required"])
@pytest.mark.parametrize("purging", [0, 1])
async def test_a_purge_at_one_end_costs_one_epoch_its_key(
    preferring: Pair, purging: int
) -> None:
    ends = preferring
    for end in reversed(ends):
        await end.start()
    await until(lambda: in_force(ends), "the tunnel")
    used = await keys_of(ends, 3)
    assert None not in used
    for _ in range(2):
        assert await ends[purging].call("keystore.purge", link=LINK, all=True)
        await until(
            lambda: ends[purging].service.store.stocks.status(LINK).available, "keys"
        )
        used += await keys_of(ends, 3)
        assert None not in used[-2:]
    assert max(Counter(key for key in used if key).values()) == 1
    assert used.count(None) <= 2
    for end in ends:
        store = end.service.store
        held = set(store.ledger.held(LINK, after=None, count=1000))
        assert not held & {UUID(key) for key in used if key}


async def test_keys_by_hand_that_the_peer_purged_are_retired(file_ends: Pair) -> None:
    ends = file_ends
    for end in ends:
        end.tunnel_keys["paris"]["qkd"] = "preferred"
    for end in reversed(ends):
        await end.start_with(range(1, 9))
    await until(lambda: in_force(ends), "the tunnel")
    assert None not in await keys_of(ends, 1)
    await ends[1].call("keystore.purge", link=LINK, all=True)
    await keys_of(ends, 3)
    store = ends[0].service.store
    await until(
        lambda: not store.ledger.held(LINK, after=None, count=1), "they are retired"
    )
    for end in ends:
        await end.import_keys(range(20, 24))
    assert None not in await keys_of(ends, 2)


@pytest.mark.parametrize("policy", ["preferred", "required"])
async def test_the_responder_keeps_nothing_that_the_initiator_gave_up(
    preferring: Pair,
) -> None:
    """Stocks that are said to be well hold keys that can be used."""
    ends = preferring
    for end in reversed(ends):
        await end.start()
    await until(lambda: in_force(ends), "the tunnel")
    await ends[1].call("keystore.purge", link=LINK, all=True)
    await keys_of(ends, 3)
    first, second = (
        set(end.service.store.ledger.held(LINK, after=None, count=1000)) for end in ends
    )
    assert first & second
    assert min(second) >= min(first)
