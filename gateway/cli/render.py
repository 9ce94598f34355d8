"""Tables and pages of tunnels, links and the daemon on a terminal."""

from collections.abc import Iterator, Sequence

from gateway.cli.render_tunnel import suite_name
from gateway.cli.text import clean, coloured, listing, table, wrapped
from gateway.control.schema import (
    Alert,
    FenceStatus,
    InForceStatus,
    LinkStatus,
    PlaneStatus,
    StatusResult,
    TunnelStatus,
)
from gateway.units import duration, plural

_SEVERITIES = {"note": 0, "warning": 1, "critical": 2}

_FINGERPRINT_START = 11
"""Characters of a fingerprint in a table: two groups, to recognise, not to verify."""


def tunnel_table(tunnels: Sequence[TunnelStatus]) -> str:
    """Return one row a tunnel, and below it what is wrong with which."""
    if not tunnels:
        return "no tunnels"
    return "\n".join([_tunnel_rows(tunnels), *_complaints(tunnels)])


def _tunnel_rows(tunnels: Sequence[TunnelStatus]) -> str:
    header = ("NAME", "STATE", "PLANE", "EPOCH", "QKD", "IN FORCE", "NEXT", "PEER")
    rows = [
        (
            tunnel["name"],
            tunnel["state"],
            tunnel["plane"],
            "-" if tunnel["epoch"] is None else str(tunnel["epoch"]),
            _qkd_short(tunnel),
            _in_force_short(tunnel["in_force"]),
            duration(tunnel["next_rotation_s"]),
            tunnel["endpoint"] or tunnel["peer"][:_FINGERPRINT_START],
        )
        for tunnel in tunnels
    ]
    return table(header, rows, spare=("PEER", "NEXT", "PLANE"))


def link_table(links: Sequence[LinkStatus]) -> str:
    """Return one row a link.

    Unconfirmed keys are those that the peer may lack; dropped ones, which expired or
    were purged.
    """
    if not links:
        return "no links"
    doubts = any(link["unconfirmed"] for link in links)
    header = (
        *("LINK", "SOURCE", "STOCK", "KEYS"),
        *(("UNCONFIRMED",) if doubts else ()),
        *("RESERVED", "USED", "DROPPED", "IN/S", "OUT/S", "EMPTY IN"),
    )
    rows = [
        (
            link["link"],
            link["source"],
            link["alarm"],
            str(link["available"]),
            *((str(link["unconfirmed"]),) if doubts else ()),
            str(link["reserved"]),
            str(link["consumed"]),
            str(link["expired"]),
            f"{link['rate_in']:.2f}",
            f"{link['rate_out']:.2f}",
            duration(link["seconds_to_empty"]),
        )
        for link in links
    ]
    spare = ("DROPPED", "RESERVED", "USED", *(("UNCONFIRMED",) if doubts else ()))
    return table(header, rows, spare=spare)


def daemon_status(status: StatusResult) -> str:
    """Return the whole picture: daemon, tunnels, links, and what is not right."""
    identity, fence = status["identity"], status["fence"]
    head = listing(
        "qgwd",
        status["version"],
        [
            ("running", f"{duration(status['uptime_s'])}, pid {status['pid']}"),
            ("identity", identity["fingerprint"]),
            ("suite", suite_name(identity["suite"])),
            ("ml-kem from", status["kem_provider"]),
            ("listening", ", ".join(status["listen"])),
            ("planes", _planes(status["planes"])),
            ("fence", _fence(fence)),
            ("dropped", _dropped(status["dropped"])),
        ],
        wrap=True,
    )
    tunnels = _tunnel_rows(status["tunnels"]) if status["tunnels"] else "no tunnels"
    blocks = [head, tunnels]
    if status["links"]:
        blocks.append(link_table(status["links"]))
    if status["alerts"]:
        worst_first = sorted(
            status["alerts"], key=lambda a: -_SEVERITIES[a["severity"]]
        )
        blocks.append("\n".join(line for a in worst_first for line in _alert(a)))
    return "\n\n".join(blocks)


def _fence(fence: FenceStatus) -> str:
    if fence["present"]:
        return f"in part: {fence['reason']}" if fence["reason"] else "stands"
    return f"none: {fence['reason']}" if fence["reason"] else "gone"


def _alerts(alerts: Sequence[Alert]) -> Iterator[str]:
    """Yield their lines, the worst first."""
    for alert in sorted(alerts, key=lambda one: -_SEVERITIES[one["severity"]]):
        yield from _alert(alert)


def _alert(alert: Alert) -> list[str]:
    severity = alert["severity"]
    about = f"{alert['about']} {alert['name']}: " if alert["name"] else ""
    lines = wrapped(about + alert["text"], first=f"{coloured(severity)}: ")
    if alert["hint"]:
        lines += wrapped(alert["hint"], first="  hint: ", rest="    ")
    return lines


def _planes(planes: Sequence[PlaneStatus]) -> str:
    """Name those that this kernel can do; ``--json`` says what the others lack."""
    here = [plane["plane"] for plane in planes if plane["supported"]]
    lacking = [plane["plane"] for plane in planes if not plane["supported"]]
    text = ", ".join(here) or "none"
    return f"{text} (not on this host: {', '.join(lacking)})" if lacking else text


def _complaints(tunnels: Sequence[TunnelStatus]) -> list[str]:
    lines: list[str] = []
    for tunnel in tunnels:
        name = f"{clean(tunnel['name'])}: "
        failing, wrong = tunnel["failing"], tunnel["reason"]
        if not wrong and failing and failing["attempts"] > 1:
            wrong = f"rotation fails: {failing['detail']}"
        if wrong:
            lines += wrapped(wrong, first=name)
        if wrong and tunnel["hint"]:
            lines += wrapped(tunnel["hint"], first="  hint: ", rest="    ")
        for fault in tunnel["faults"]:
            lines += wrapped(fault, first=f"{name}fault: ")
    return ["", *lines] if lines else []


def _qkd_short(tunnel: TunnelStatus) -> str:
    """Say whether the epoch has a QKD key, or how many epochs ago one was mixed."""
    match tunnel["qkd_key"], tunnel["qkd_age"]:
        case "fresh", _:
            return "fresh"
        case "chained", int(age):
            return f"{age} ago"
        case "none", _:
            return "off" if tunnel["qkd"] == "off" else "none"
        case _:
            return "-"


def _in_force_short(in_force: InForceStatus) -> str:
    since = in_force["since_s"]
    age = "" if since is None else f" {duration(since)}"
    match in_force["local"], in_force["peer"]:
        case True, True:
            return "both" + age
        case True, False:
            return "here" + age
        case False, True:
            return "peer" + age
        case _:
            return "no"


def _dropped(dropped: dict[str, int]) -> str:
    total = sum(dropped.values())
    if not total:
        return ""
    reasons = ", ".join(
        f"{reason} {count}"
        for reason, count in sorted(dropped.items(), key=lambda item: -item[1])
        if count
    )
    return f"{plural(total, 'datagram')}: {reasons}"
