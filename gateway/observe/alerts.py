"""Alerts: all that is not right, each thing once, with advice."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from gateway.control.schema import (
    Alert,
    AlertKind,
    Approval,
    LinkStatus,
    Severity,
    TunnelStatus,
)
from gateway.dataplane.accepted import is_too_wide
from gateway.dataplane.fence.base import FenceState
from gateway.dataplane.held.restored import Loss
from gateway.dataplane.host import HostFinding
from gateway.errors import GatewayError
from gateway.observe.fence import Refused
from gateway.units import duration, plural

REPEATED: Final = 2
"""Attempts that fail in a row before a tunnel that is up is said to fail: one lost
datagram is made good by the next attempt."""

STUCK: Final = 3
"""Attempts in a row after which a tunnel that connects is in trouble."""


def tunnel_alerts(
    tunnels: Iterable[TunnelStatus], refused: Mapping[str, Refused]
) -> Iterator[Alert]:
    """Say what is wrong with each tunnel."""
    for tunnel in tunnels:
        yield from _not_up(tunnel)
        yield from _failing(tunnel)
        for fault in tunnel["faults"]:
            yield _of_tunnel(tunnel, "warning", AlertKind.FAULT, fault, "")
        yield from _refused(tunnel, refused.get(tunnel["name"], Refused()))


def link_alerts(
    links: Iterable[LinkStatus], trouble: Callable[[str], tuple[str, str]]
) -> Iterator[Alert]:
    """Say what is wrong with each link.

    Args:
        links: Their stocks.
        trouble: Says of a link what its KME's last answer was wrong with, and the hint.
    """
    for link in links:
        error, hint = trouble(link["link"])
        if error:
            yield link_alert(link["link"], "warning", AlertKind.KME, error, hint)
        is_empty = link["alarm"] == "empty"
        if link["alarm"] != "ok":
            yield link_alert(
                link["link"],
                "critical" if is_empty else "warning",
                AlertKind.STOCK_EMPTY if is_empty else AlertKind.STOCK_LOW,
                _stock(link),
                _stock_hint(link, is_supplied=not error),
            )


def fence_alerts(state: FenceState | None, *, needed: bool = True) -> Iterator[Alert]:
    """Say that the fence does not stand, or refuses what is connected here.

    Args:
        state: As last read, None if it was not.
        needed: Whether there is a tunnel.
    """
    if state is None or not needed:
        return
    if not state.present and state.reason:
        yield gateway_alert(
            "warning",
            AlertKind.FENCE_UNAVAILABLE,
            f"no fence: {state.reason}",
            "mend that: until then routes and policies alone keep packets from leaving "
            "in clear",
        )
    elif not state.present:
        yield gateway_alert(
            "critical",
            AlertKind.FENCE_MISSING,
            "the fence is gone: somebody removed the nftables table inet qgw"
            if not state.limits
            else "the fence is gone: somebody removed its IPsec policies",
            "find who flushes all tables (nft monitor), and see: journalctl -u qgwd"
            if not state.limits
            else "find who flushes them (ip xfrm monitor), and see: journalctl -u qgwd",
        )
    elif state.limits:
        yield gateway_alert(
            "warning",
            AlertKind.FENCE_UNAVAILABLE,
            f"no fence of nftables: {state.limits}",
            "modprobe nf_tables, or boot a kernel that has it",
        )
    if state.unrecorded:
        yield gateway_alert(
            "warning",
            AlertKind.FENCE_UNRECORDED,
            f"the fence's record for the next boot is old: {state.unrecorded}",
            "free the disk or mend state_dir; it is tried again every few seconds",
        )
    for network in state.unfenced:
        yield gateway_alert(
            "warning",
            AlertKind.LEASE_IN_PREFIX,
            f"{network} is connected here for a time only (DHCP, router "
            "advertisement) and lies in a remote prefix: packets for it go into the "
            "tunnel or nowhere",
            "add it to local_subnets, or give the interface a static address",
        )
    for network in state.unasked:
        yield gateway_alert(
            "warning",
            AlertKind.UNASKED_IN_PREFIX,
            f"{network} was connected here since the configuration was accepted, and "
            "lies in a remote prefix: packets for it go into the tunnel or nowhere",
            "if it is yours, "
            + (
                "add it to local_subnets and reload (it is too wide to pass without)"
                if is_too_wide(network)
                else "qgw reload, or add it to local_subnets"
            )
            + "; else remove the address (a lease without an end looks like one that "
            "you set)",
        )
    for network in state.passed:
        yield gateway_alert(
            "warning",
            AlertKind.CONNECTED_IN_PREFIX,
            f"{network} is connected here and lies in a remote prefix: packets for it "
            "go past the tunnel, in clear",
            "if it is yours, add it to local_subnets; else remove the address (a lease "
            "without an end looks like one that you set)",
        )
    if state.usual:
        yield gateway_alert(
            "note",
            AlertKind.CONNECTED_IN_FULL_TUNNEL,
            "connected here, so beside the full tunnel, in clear: "
            + ", ".join(state.usual),
        )


def kernel_alerts(
    missing: Mapping[Loss, str], restored: Mapping[Loss, int], fence: int
) -> Iterator[Alert]:
    """Say what others take out of the kernel.

    Args:
        missing: What is missing now, and why.
        restored: What was put back lately, and how often.
        fence: How often the fence was put back lately.
    """
    for loss, why in missing.items():
        yield _of_loss(
            loss,
            "critical",
            AlertKind.KERNEL_MISSING,
            f"{loss.what} is missing: {why}",
            "find who takes it away (ip monitor, journalctl); it is tried again by "
            "itself",
        )
    for loss, count in restored.items():
        if loss not in missing:
            yield _of_loss(
                loss,
                "note",
                AlertKind.KERNEL_RESTORED,
                f"{loss.what} was missing or changed, and is restored "
                f"({_times(count)})",
                "",
            )
    if fence:
        yield gateway_alert(
            "note",
            AlertKind.FENCE_RESTORED,
            "another program removed or changed the fence; it is "
            f"restored ({_times(fence)})",
        )


def unapplied_alerts(unapplied: Mapping[str, GatewayError]) -> Iterator[Alert]:
    """Say which tunnels go on as they were, though the configuration changed."""
    for name, error in sorted(unapplied.items()):
        yield _alert_of(
            name,
            "warning",
            AlertKind.NOT_APPLIED,
            f"its new configuration is not in force: {error.message}",
            error.hint or "mend that, then: qgw reload",
        )


def host_alerts(findings: Iterable[HostFinding]) -> Iterator[Alert]:
    """Say which settings of this host are in the way."""
    for one in findings:
        yield gateway_alert("warning", one.kind, one.text, one.hint)


def socket_alerts(absent: Iterable[str], unsent: Iterable[str]) -> Iterator[Alert]:
    """Say which addresses are not there, and what was not sent lately.

    Args:
        absent: Addresses that `listen` names and this host lacks.
        unsent: A line for each reason.
    """
    for host in absent:
        yield gateway_alert(
            "warning",
            AlertKind.ADDRESS_ABSENT,
            f"{host}, which listen names, is not on this host",
            "nothing, if it comes later; else take it out of listen",
        )
    for line in unsent:
        yield gateway_alert(
            "warning",
            AlertKind.UNSENT,
            line,
            "check the routes to the peers, and what this host's own firewall lets out",
        )


def approval_alerts(waiting: Iterable[Approval]) -> Iterator[Alert]:
    """Say which acts wait for a second person."""
    for act in waiting:
        yield gateway_alert(
            "note",
            AlertKind.APPROVAL_WAITING,
            f"{act['what']}: asked for by {act['asked_by']}, waits for a second "
            f"person for {duration(act['left_s'])} more",
            f"another user runs: qgw approve {act['id']}",
        )


def gateway_alert(severity: Severity, kind: str, text: str, hint: str = "") -> Alert:
    """Return something that concerns no tunnel or link in particular."""
    return Alert(
        severity=severity, kind=kind, about="gateway", name="", text=text, hint=hint
    )


def link_alert(
    name: str, severity: Severity, kind: str, text: str, hint: str = ""
) -> Alert:
    """Return something that concerns one link."""
    return Alert(
        severity=severity, kind=kind, about="link", name=name, text=text, hint=hint
    )


def alert_line(alert: Alert) -> str:
    """Return an alert in one line that names what it is about once."""
    if alert["about"] == "gateway":
        return alert["text"]
    return f"{alert['about']} {alert['name']}: {alert['text']}"


def _not_up(tunnel: TunnelStatus) -> Iterator[Alert]:
    state, reason = tunnel["state"], tunnel["reason"]
    if not tunnel["started"]:
        kind, text, is_mild = AlertKind.CANNOT_START, f"cannot start: {reason}", False
    elif state == "up" or (state == "down" and not tunnel["enabled"]):
        return
    else:
        failing = tunnel["failing"]
        kind, text = f"tunnel-{state}", f"{state}: {reason}" if reason else state
        is_mild = state == "down" or (
            state == "connecting" and (not failing or failing["attempts"] < STUCK)
        )
    severity: Severity = "warning" if is_mild else "critical"
    yield _of_tunnel(tunnel, severity, kind, text, tunnel["hint"])


def _failing(tunnel: TunnelStatus) -> Iterator[Alert]:
    failing = tunnel["failing"]
    if tunnel["state"] != "up" or failing is None or failing["attempts"] < REPEATED:
        return
    text = (
        f"rotation fails, {failing['attempts']} times in a row for "
        f"{duration(failing['since_s'])}: {failing['detail']}"
    )
    left = tunnel["lifetime_left_s"]
    if left is not None:
        text += f"; the tunnel lasts {duration(left)} more"
    yield _of_tunnel(tunnel, "warning", AlertKind.ROTATION_FAILS, text, tunnel["hint"])


def _refused(tunnel: TunnelStatus, refused: Refused) -> Iterator[Alert]:
    if refused.outward:
        yield _of_tunnel(
            tunnel,
            "warning",
            AlertKind.FENCE_OUTWARD,
            f"the fence refused {plural(refused.outward, 'packet')} for its remote "
            "prefixes that went another way than the tunnel",
            "look for a route or rule of somebody else: ip route get ADDRESS, ip rule",
        )
    if refused.inward:
        yield _of_tunnel(
            tunnel,
            "warning",
            AlertKind.FENCE_INWARD,
            f"the fence refused {plural(refused.inward, 'packet')} from its remote "
            "prefixes that came another way than the tunnel, or would have left by "
            "another interface than that of their local network",
            "forged addresses, or a path between the sites beside the tunnel: "
            "tcpdump -ni any src net PREFIX; if they came by the tunnel, a local "
            "network that moved to a router: qgw reload",
        )
    if refused.meanwhile:
        count = plural(refused.meanwhile, "packet")
        text = f"the fence refused {count} while it was not up"
        yield _of_tunnel(tunnel, "note", AlertKind.FENCE_MEANWHILE, text, "")


def _stock(link: LinkStatus) -> str:
    if link["alarm"] == "empty":
        if link["available"]:
            return f"stock was empty: {plural(link['available'], 'key')} came since"
        return "stock is empty"
    unused = link["available"] + link["reserved"]
    known = unused - link["unconfirmed"]
    text = f"stock is low: {known} keys, fewer than {link['low_water']}"
    if link["unconfirmed"]:
        text += (
            f"; {link['unconfirmed']} more are there, which the peer is not known to "
            "hold"
        )
    left = link["seconds_to_empty"]
    return text if left is None else f"{text}; empty in {duration(left)}"


def _stock_hint(link: LinkStatus, *, is_supplied: bool) -> str:
    name = link["link"]
    match link["source"]:
        case "file":
            return f"import keys at both ends: qgw keystore import --link {name} FILE"
        case "relay":
            return "see why no keys come over the network: qgw network"
        case "simulated":
            return "raise the link's rate, or rotation_interval"
        case "none":
            return f"erase what is left: qgw keystore purge --link {name} --all"
        case _ if is_supplied:
            return f"see whether the KME keeps up: qgw qkd status {name}"
        case _:
            return f"see what is wrong with the KME: qgw qkd test {name}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _of_loss(loss: Loss, severity: Severity, kind: str, text: str, hint: str) -> Alert:
    if not loss.tunnel:
        return gateway_alert(severity, kind, text, hint)
    return _alert_of(loss.tunnel, severity, kind, text, hint)


def _of_tunnel(
    tunnel: TunnelStatus, severity: Severity, kind: str, text: str, hint: str
) -> Alert:
    return _alert_of(tunnel["name"], severity, kind, text, hint)


def _alert_of(
    tunnel: str, severity: Severity, kind: str, text: str, hint: str
) -> Alert:
    return Alert(
        severity=severity, kind=kind, about="tunnel", name=tunnel, text=text, hint=hint
    )
