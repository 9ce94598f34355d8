"""All kinds of interference, those that are switched off, and which fit a kernel."""

import functools
import os
import subprocess
from typing import Final

from tests.meddle.kind import ALL_KINDS, Kind
from tests.meddle.kinds import (
    daemons,
    files,
    links,
    path,
    reloads,
    routes,
    rulesets,
    settings,
    transforms,
    wireguard,
)

MODULES: Final = (
    *(daemons, files, links, path, reloads, routes, rulesets, settings, transforms),
    wireguard,
)
"""Imported so that they fill the table."""

OFF: Final[dict[str, str]] = {}
"""Kinds that are not played, each with the reason."""


OWN_KERNEL: Final = bool({"QGW_IN_VM", "QGW_IN_UML"} & set(os.environ))
"""Whether this kernel is the tests' own, and its clock may be set."""

FLOW_TABLE: Final = (
    "table inet qgw-probe {\n"
    "flowtable fast { hook ingress priority 0; devices = { lo }; }\n"
    "chain c { meta l4proto udp flow add @fast; }\n}"
)


@functools.cache
def kernel_has(what: str) -> bool:
    """Say whether this kernel has what a kind needs."""
    if what.startswith("clock") and not OWN_KERNEL:
        return False
    commands = {
        "clock": ("true",),
        "clock-and-nft": ("nft", "add table inet qgw-probe"),
        "": ("true",),
        "nft": ("nft", "add table inet qgw-probe"),
        "flowtable": ("nft", FLOW_TABLE),
        "vrf": ("ip", "link", "add", "probe", "type", "vrf", "table", "9"),
    }
    done = subprocess.run(  # noqa: S603  # the commands above
        ("unshare", "--net", *commands[what]),  # noqa: S607
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def playable(plane: str) -> dict[str, Kind]:
    """Return the kinds that are played on a plane of this kernel, by name."""
    return {
        name: kind
        for name, kind in sorted(ALL_KINDS.items())
        if name not in OFF
        and (not kind.planes or plane in kind.planes)
        and kernel_has(kind.needs)
    }
