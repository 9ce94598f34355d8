"""Restored parts of the kernel, in an operator's words."""

from dataclasses import dataclass, field
from enum import Flag

from gateway.dataplane.held.compare import (
    NOBODY,
    ChangedLink,
    Difference,
    MissingAddress,
    MissingLink,
    MissingRoute,
    MissingRule,
    SurplusRoute,
)
from gateway.dataplane.held.snapshot import FoundLink
from gateway.dataplane.held.wanted import ALIAS_PREFIX, GUARD_METRIC, WantedLink
from gateway.dataplane.netlink.rtnetlink import RTN_THROW
from gateway.host.marks import ROUTE_TABLE


class Scope(Flag):
    """What to compare."""

    ROUTING = 1
    """Links, addresses, routes and rules."""
    XFRM = 2
    """IPsec policies and SAs."""
    ALL = ROUTING | XFRM


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that was not as it should be.

    Attributes:
        tunnel: Whose it is, empty for what serves all tunnels.
        what: What it is, as an operator would say it.
        is_vital: Whether packets cannot pass without it; a guard only holds back.
    """

    tunnel: str
    what: str
    is_vital: bool = True


@dataclass(slots=True)
class Restoration:
    """What one comparison found.

    Attributes:
        restored: What was missing and is there again, as keys in order.
        missing: What is still missing, and why.
        fought: What was restored and somebody keeps taking away, and for how many
            seconds it will be left alone next time.
        keyless: Tunnels whose keys are gone, which only new ones replace.
        retry_at: When something that is left alone now may be put back, monotonic
            seconds; None for nothing.
    """

    restored: dict[Loss, None] = field(default_factory=dict)
    missing: dict[Loss, str] = field(default_factory=dict)
    fought: dict[Loss, float] = field(default_factory=dict)
    keyless: set[str] = field(default_factory=set)
    retry_at: float | None = None

    def leave(self, loss: Loss, until: float) -> None:
        """Note what somebody keeps taking away, and when to put it back again."""
        self.missing[loss] = "somebody keeps taking it away"
        self.retry_at = min(until, self.retry_at or until)

    def add(self, other: "Restoration") -> None:
        """Take over what another plane's comparison found."""
        self.restored |= other.restored
        self.missing |= other.missing
        self.fought |= other.fought
        self.keyless |= other.keyless
        times = [t for t in (self.retry_at, other.retry_at) if t is not None]
        self.retry_at = min(times, default=None)


def loss_of(  # noqa: PLR0911  # a table
    difference: Difference, names: dict[int, str]
) -> Loss:
    """Say what a difference is.

    Args:
        difference: What.
        names: Names of interfaces by index.
    """
    match difference:
        case MissingLink(link):
            return Loss(_owner(link), f"interface {link.name}")
        case ChangedLink(link, found):
            return Loss(_owner(link), _describe_change(link, found))
        case MissingAddress(tunnel, index, address):
            name = names.get(index, str(index))
            return Loss(tunnel, f"address {address} on {name}")
        case MissingRoute(tunnel, route) if route.metric == GUARD_METRIC:
            what = f"the guard of {route.prefix} in table {ROUTE_TABLE}"
            return Loss(tunnel, what, is_vital=False)
        case MissingRoute(tunnel, route) if route.kind == RTN_THROW:
            what = f"the way past table {ROUTE_TABLE} for {route.prefix}"
            return Loss(tunnel, what, is_vital=False)
        case MissingRoute(tunnel, route):
            return Loss(tunnel, f"route {route.prefix} in table {ROUTE_TABLE}")
        case SurplusRoute(route):
            what = f"table {ROUTE_TABLE} without a foreign route {route.prefix}"
            return Loss(NOBODY, what, is_vital=False)
        case MissingRule(family):
            version = "IPv4" if family == 2 else "IPv6"  # noqa: PLR2004  # AF_INET
            return Loss(NOBODY, f"the {version} rule for table {ROUTE_TABLE}")


def _owner(link: WantedLink) -> str:
    return link.alias.removeprefix(ALIAS_PREFIX) if link.makable else NOBODY


def _describe_change(link: WantedLink, found: FoundLink) -> str:
    changes = []
    if not found.is_up:
        changes.append("up")
    if found.name != link.name:
        changes.append(f"its name, which was {found.name}")
    if found.alias != link.alias:
        changes.append("its alias")
    if link.mtu not in {None, found.mtu}:
        changes.append(f"MTU {link.mtu}, which was {found.mtu}")
    return f"interface {link.name}: {', '.join(changes)}"
