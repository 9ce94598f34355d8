"""Tunnels of every kind over which neighbours speak, and that draw on relayed keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.wire.control import RotateReason
from tests.unit.daemon.network_runs import Record, eventually, record, run_fast
from tests.unit.daemon.network_sites import Sites

__all__ = ["record"]

LINE = (("lux", "redu"), ("lux", "sin"))
FAR, BACK = "redu-sin", "back"
ENDS = ("redu", "sin")
ROTATIONS = 12
"""More than one batch, and than one stock's low water."""


def chosen_by_fingerprint(sites: Sites) -> None:
    for site in sites.by_name.values():
        for header, keys in site.tables.items():
            if header.startswith("tunnels."):
                keys["role"] = "auto"


def the_other_way_round(sites: Sites) -> None:
    for site in sites.by_name.values():
        for header, keys in site.tables.items():
            if header.startswith("tunnels."):
                other = {"initiator": "responder", "responder": "initiator"}
                keys["role"] = other[str(keys["role"])]


def both_ends_draw(sites: Sites) -> None:
    """A second tunnel on the relayed link, whose handshakes start at the other end."""
    sites._tunnel(sites["sin"], sites["redu"], BACK)
    for name in ("redu", "sin"):
        sites[name].tables[f"tunnels.{BACK}"]["link"] = FAR


async def shown(sites: Sites, tunnels: list[str]) -> list[dict[str, Any]]:
    return [
        await sites[end].call("tunnel.show", name=name)
        for name in tunnels
        for end in ENDS
    ]


async def rotate(sites: Sites, tunnels: list[str]) -> list[str]:
    """Have every tunnel rotate, asked at both ends; return the keys then in force."""
    epochs = {one["name"]: one["epoch"] for one in await shown(sites, tunnels)}
    for end in ENDS:
        for name in tunnels:
            sites[end].service.tunnels.drivers[name].rotate(RotateReason.OPERATOR)

    async def newer() -> bool:
        later = [
            one["epoch"] > epochs[one["name"]] for one in await shown(sites, tunnels)
        ]
        return all(later) and up(sites, tunnels)

    await eventually(newer, "new epochs")
    keys = [one["key_id"] for one in await shown(sites, tunnels)]
    assert keys[::2] == keys[1::2]
    assert all(keys)
    return keys[::2]


def up(sites: Sites, tunnels: list[str]) -> bool:
    return all(sites[end].in_force(name) for end in ENDS for name in tunnels)


def pads_left(sites: Sites) -> bool:
    return all(
        sites[name].stock(hop) > 40
        for hop in ("redu>lux", "lux>sin")
        for name in hop.split(">")
    )


@pytest.mark.parametrize(
    "change", [chosen_by_fingerprint, the_other_way_round, both_ends_draw]
)
def test_tunnels(
    short_folder: Path, record: Record, change: Callable[[Sites], None]
) -> None:
    sites = Sites(short_folder, LINE, [("redu", "sin")], pads=80)
    change(sites)
    tunnels = [FAR, BACK] if change is both_ends_draw else [FAR]
    used: list[str] = []

    async def whole() -> None:
        try:
            await sites.start()
            await eventually(lambda: up(sites, tunnels), "the relayed tunnels")
            for _ in range(ROTATIONS):
                used.extend(await rotate(sites, tunnels))
            await eventually(lambda: pads_left(sites), "pads at both ends of each hop")
            keepers = [sites[end].service.links.keepers[FAR] for end in ENDS]
            draw = [keeper.status().draws for keeper in keepers]
            assert draw.count(True) == len(tunnels)
        finally:
            await sites.stop()

    run_fast(whole())
    assert len(set(used)) == len(used) == ROTATIONS * len(tunnels)
    record.check()
