"""`gateway.dataplane.fence.base.Fence` as IPsec policies that block."""

import errno
from collections.abc import Mapping
from typing import Final

from pyroute2.netlink import NETLINK_XFRM

from gateway.dataplane.fence.base import (
    FencePlan,
    FenceState,
    Passage,
    TunnelFence,
)
from gateway.dataplane.fence.partition import fenced_prefixes
from gateway.dataplane.fence.xfrm import policies
from gateway.dataplane.fence.xfrm.notifications import PolicyNotifications
from gateway.dataplane.fence.xfrm.policies import DIRECTIONS, OUTWARD, Key
from gateway.dataplane.netlink.connection import NetlinkConnection
from gateway.dataplane.refusals import kernel_call
from gateway.errors import DataPlaneError

NEEDS: Final = "load the module xfrm_user (Debian: linux-image-amd64)"

LIMITS: Final = (
    "this kernel has no nf_tables; IPsec policies block what cannot start, but end no "
    "grant, count nothing, and another program's policy may come before them"
)
"""What an operator must know of it: README.md says it at length."""


class XfrmFence:
    """The policies of one network namespace, kept by one process at a time."""

    def __init__(self) -> None:
        """Open a socket and see that there are policies; nothing is touched yet.

        Raises:
            PlaneUnsupportedError: The kernel has no XFRM.
            PlanePermissionError: CAP_NET_ADMIN is missing.
        """
        self._owners: dict[str, str] = {}
        self._lifted: dict[str, frozenset[int]] = {}
        self._is_loaded = False
        with kernel_call("open an XFRM socket", needs=NEEDS):
            self._connection = NetlinkConnection(NETLINK_XFRM)
        try:
            self._read()
        except DataPlaneError:
            self.close()
            raise

    def close(self) -> None:
        """See `Fence.close`."""
        self._connection.close()

    def load(self, plan: FencePlan, before: FencePlan | None = None) -> None:
        """See `Fence.load`. What is new is refused before what is old is let go."""
        found = self._read()
        owners = {
            prefix: tunnel
            for tunnel, prefixes in fenced_prefixes(plan, before).items()
            for prefix in prefixes
        }
        if not self._is_loaded:
            self._lifted = _lifted_in(found, owners)
        self._owners, self._is_loaded = owners, True
        names = set(owners.values())
        self._lifted = {n: d for n, d in self._lifted.items() if n in names}
        self._make(found)

    def grant(self, name: str, passage: Passage, seconds: float) -> None:
        """See `Fence.grant`; it does not end by itself."""
        if seconds <= 0:
            self.revoke(name)
            return
        if not passage.devices:
            lifted: frozenset[int] = frozenset()
        elif passage.reqid:
            # ESP's own policies, which know the interface, judge what comes in.
            lifted = frozenset({OUTWARD})
        else:
            lifted = frozenset(DIRECTIONS)
        self._lift(name, lifted)

    def revoke(self, name: str) -> None:
        """See `Fence.revoke`."""
        self._lift(name, frozenset())

    def repair(self, *, touched: bool) -> bool:  # noqa: ARG002  # both cost a dump
        """See `Fence.repair`."""
        return self._is_loaded and self._make(self._read())

    def listen(self) -> PolicyNotifications:
        """See `Fence.listen`."""
        return PolicyNotifications(self._connection.port)

    def read(self) -> FenceState:
        """See `Fence.read`: nothing is counted, and no grant has an end."""
        found = self._read()
        names = sorted(set(self._owners.values()))
        return FenceState(
            present=bool(found),
            limits=LIMITS,
            tunnels={name: TunnelFence() for name in names},
        )

    def remove(self) -> None:
        """See `Fence.remove`."""
        self._carry_out([policies.deletion(key) for key in self._read()])
        self._owners, self._lifted, self._is_loaded = {}, {}, False

    # -- How

    def _lift(self, name: str, directions: frozenset[int]) -> None:
        """Turn a tunnel's policies of some directions into ones that allow."""
        if self._lifted.get(name, frozenset()) == directions:
            return
        self._lifted[name] = directions
        self._carry_out(
            [
                policies.creation(key, allows=allows)
                for key, allows in self._wanted().items()
                if self._owners[key.prefix] == name
            ]
        )

    def _wanted(self) -> dict[Key, bool]:
        return {
            Key(direction, prefix): direction in self._lifted.get(name, ())
            for prefix, name in self._owners.items()
            for direction in DIRECTIONS
        }

    def _make(self, found: Mapping[Key, bool]) -> bool:
        """Make all of it so; return whether anything was not."""
        wanted = self._wanted()
        requests = [
            policies.creation(key, allows=allows)
            for key, allows in wanted.items()
            if found.get(key) is not allows
        ]
        requests += [policies.deletion(key) for key in found if key not in wanted]
        self._carry_out(requests)
        return bool(requests)

    def _read(self) -> dict[Key, bool]:
        with kernel_call("list policies", needs=NEEDS):
            read = map(policies.read, self._connection.dump(policies.dump()))
            return dict(each for each in read if each is not None)

    def _carry_out(self, requests: list[bytearray]) -> None:
        with kernel_call("change policies that block", needs=NEEDS):
            for error in self._connection.send(requests):
                if error.errno != errno.ENOENT:
                    raise error


def _lifted_in(
    found: Mapping[Key, bool], owners: Mapping[str, str]
) -> dict[str, frozenset[int]]:
    """Return what an earlier process had lifted: of all that a tunnel has there."""
    there: dict[tuple[str, int], bool] = {}
    for key, allows in found.items():
        if name := owners.get(key.prefix):
            place = name, key.direction
            there[place] = there.get(place, True) and allows
    return {
        name: frozenset(d for d in DIRECTIONS if there.get((name, d), False))
        for name in set(owners.values())
    }
