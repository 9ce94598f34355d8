"""The fence beside others: what they flush or change is as before, at once."""

import asyncio
import logging
import re
import time
from pathlib import Path

import pytest

from gateway.dataplane.fence.base import Passage
from gateway.dataplane.fence.enforcement import Fencing
from tests.kernel.fence.guarded import configured, guarded
from tests.kernel.fence.place import DEVICE, NAME, REMOTE, Place, turnless
from tests.kernel.pace import GRANT_MARGIN


async def arrives(place: Place, version: int = 4) -> set[str]:
    return await asyncio.to_thread(
        place.arrivals, "gateway", REMOTE[version], wait=0.05
    )


async def ruleset(place: Place) -> str:
    """Return all rules on the gateway, without how long its grants still last."""
    listed = await asyncio.to_thread(place.run, "gateway", "nft", "list", "ruleset")
    return re.sub(r" (timeout|expires) \w+", "", turnless(listed))


async def meddle(place: Place, rules: str) -> None:
    """Do to the table what `rules` say of its set `out4`, whatever its name is now."""
    listed = await asyncio.to_thread(place.listing)
    (name,) = set(re.findall(r"@(out4\S*)", listed))
    await asyncio.to_thread(place.nft, rules.replace("out4", name))


async def restored(place: Place, before: str, *, within: float = 1.0) -> None:
    """Wait until the rules are what they were, and the tunnel passes."""
    end = time.monotonic() + within
    found = ""
    while time.monotonic() < end:
        found = await ruleset(place)
        if found == before and await arrives(place) == {"far"}:
            return
    assert found == before
    raise AssertionError(f"nothing passed within {within} s")


MEDDLING = {
    "flush everything": "flush ruleset",
    "delete the table": "delete table inet qgw",
    "flush the table": "flush table inet qgw",
    "flush a chain": "flush chain inet qgw outward",
    "put it to sleep": "add table inet qgw { flags dormant; }",
    "flush a set": "flush set inet qgw out4",
    "close it to a tunnel": "flush set inet qgw pass4-16",
    "open it to a stranger": 'add element inet qgw pass4-16 { 10.2.0.0 . "stranger" }',
    "add a rule": 'insert rule inet qgw outward accept comment "stranger"',
    "add a chain": "add chain inet qgw stranger",
    "add a set": "add set inet qgw stranger { type mark; }",
    "free a network": "delete element inet qgw out4 { 10.2.0.0/16 }",
    "fence a network": "add element inet qgw out4 { 203.0.113.0/24 }",
}


@pytest.mark.parametrize("rules", MEDDLING.values(), ids=MEDDLING)
def test_what_others_do_is_undone_at_once(
    place: Place, tmp_path: Path, rules: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(fencing: Fencing) -> None:
        asked = time.monotonic()
        await fencing.grant(NAME, DEVICE, 30)
        granted = time.monotonic()
        before = await ruleset(place)
        assert await arrives(place) == {"far"}
        for _ in range(2):
            await meddle(place, rules)
            await restored(place, before)
        looked = time.monotonic()
        left = (await fencing.read()).tunnels[NAME].granted
        latest = granted + 30 - looked
        earliest = asked + 30 - time.monotonic()
        assert earliest - 0.1 < left < latest + GRANT_MARGIN, "the time it had"
        await asyncio.to_thread(place.divert)
        assert await arrives(place) == {"refused"}
        assert await arrives(place, 6) == {"refused"}

    with caplog.at_level(logging.WARNING):
        guarded(place, configured(tmp_path), tmp_path, body)
    said = [line for line in caplog.messages if "restored" in line]
    assert len(said) == 1, "said once, not each time"


def test_a_fight_is_not_given_up(place: Place, tmp_path: Path) -> None:
    async def body(fencing: Fencing) -> None:
        await fencing.grant(NAME, DEVICE, 60)
        before = await ruleset(place)
        for _ in range(12):
            await asyncio.to_thread(place.nft, "flush ruleset")
            await restored(place, before, within=3)
        await asyncio.to_thread(place.outward, 4)

    guarded(place, configured(tmp_path), tmp_path, body)


def test_an_owned_table_is_flushed_by_nobody(place: Place, tmp_path: Path) -> None:
    async def body(fencing: Fencing) -> None:
        await fencing.grant(NAME, DEVICE, 60)
        before = await asyncio.to_thread(place.listing)
        if "flags owner" not in before:
            pytest.skip("this kernel's tables have no owners: needs Linux 6.9")
        await asyncio.to_thread(place.nft, "add table inet others")
        await asyncio.to_thread(place.nft, "flush ruleset")
        assert await arrives(place) == {"far"}
        tables = await asyncio.to_thread(place.run, "gateway", "nft", "list", "tables")
        assert tables.split() == ["table", "inet", "qgw"]
        with pytest.raises(RuntimeError, match="not permitted"):
            await asyncio.to_thread(place.nft, "delete table inet qgw")

    guarded(place, configured(tmp_path), tmp_path, body, owned=True)
    # Once its owner is gone, the table stays, and an administrator may take it.
    place.divert()
    assert place.arrivals("gateway", REMOTE[4]) == {"refused"}
    place.nft("delete table inet qgw")


def test_a_new_device_needs_a_new_grant(place: Place, tmp_path: Path) -> None:
    async def body(fencing: Fencing) -> None:
        await fencing.grant(NAME, Passage(("tun9",)), 60)
        assert await arrives(place) == {"refused"}
        await fencing.grant(NAME, DEVICE, 60)
        assert await arrives(place) == {"far"}
        await fencing.revoke(NAME)
        assert await arrives(place) == {"refused"}

    guarded(place, configured(tmp_path), tmp_path, body)
