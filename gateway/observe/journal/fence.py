"""Wording of what happens to the fence."""

from logging import ERROR, INFO, WARNING
from typing import Any, Final

from gateway.dataplane.accepted import is_too_wide
from gateway.events.fence import (
    ConnectedPassed,
    FenceFailed,
    FenceRecordLost,
    FenceRecordUnread,
    FenceRecordUnwritten,
    FenceRestored,
    FenceUnavailable,
    FenceUnsettled,
    FullTunnelPassed,
    LeaseRefused,
    NetworkUnasked,
)
from gateway.observe.journal.wording import Wording

WORDINGS: Final[tuple[Wording[Any], ...]] = (
    Wording(
        FenceRestored,
        "fence-restored",
        WARNING,
        "another program removed or changed the fence; it is restored ({times:d} "
        "times until now)",
    ),
    Wording(
        FenceFailed,
        "fence-failed",
        ERROR,
        "the fence cannot be kept: {message}; {hint}",
    ),
    Wording(
        FenceUnavailable,
        "fence-unavailable",
        WARNING,
        "no fence of nftables: {why}",
    ),
    Wording(
        FenceUnsettled,
        "fence-unsettled",
        ERROR,
        "the fence still refuses what only the old configuration names: {why}",
    ),
    Wording(
        LeaseRefused,
        "fence-leased",
        WARNING,
        "network {network}, which this host has by DHCP or router advertisement, "
        "lies in a remote prefix: packets for it go into the tunnel or "
        "nowhere; to reach its hosts, add it to local_subnets or give this "
        "host a permanent address there, then qgw reload",
    ),
    Wording(
        NetworkUnasked,
        "fence-unasked",
        WARNING,
        "network {network}, which this host was connected to since the configuration "
        "was accepted, lies in a remote prefix: packets for it go into the "
        "tunnel or nowhere; if it is yours, {cure}, else remove the address",
        lambda e: {
            "cure": "add it to local_subnets (it is too wide to pass without)"
            if is_too_wide(e.network)
            else "qgw reload or add it to local_subnets"
        },
    ),
    Wording(
        ConnectedPassed,
        "fence-passed",
        WARNING,
        "network {network}, which this host is connected to, lies in a remote "
        "prefix: packets for it go past the tunnel, in clear; if it is yours, add "
        "it to local_subnets, else remove the address",
    ),
    Wording(
        FullTunnelPassed,
        "fence-beside",
        INFO,
        "network {network}, which this host is connected to, passes beside the full "
        "tunnel, in clear",
    ),
    Wording(
        FenceRecordLost,
        "fence-record-lost",
        WARNING,
        "{path} was {done} by another program; it is written anew",
        lambda e: {"done": "removed" if e.is_removed else "changed"},
    ),
    Wording(
        FenceRecordUnwritten,
        "fence-unwritten",
        WARNING,
        "{message}; {hint}",
    ),
    Wording(
        FenceRecordUnread,
        "fence-unread",
        WARNING,
        "{message}; {hint}",
    ),
)
