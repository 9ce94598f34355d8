"""How tunnels, links and the daemon look on a terminal."""

from collections.abc import Sequence

import click

from gateway.cli.text import clean, duration, listing, plural, size, table
from gateway.control.schema import InForce, LinkStatus, StatusResult, TunnelStatus

SUITE_NAMES = {
    1: "1 (X25519, ML-KEM-768, AES-256-GCM, SHA-384)",
    2: "2 (P-384, ML-KEM-1024, AES-256-GCM, SHA-384)",
}

_FINGERPRINT_START = 11
"""Characters of a fingerprint in a table: two groups, to recognise, not to verify."""


def suite_name(suite: int) -> str:
    """Return a suite's number and what it stands for."""
    return SUITE_NAMES.get(suite, str(suite))


def tunnel_table(tunnels: Sequence[TunnelStatus]) -> str:
    """Return one row a tunnel, and below it why those that are not up are not."""
    if not tunnels:
        return "no tunnels"
    header = ("NAME", "STATE", "PLANE", "EPOCH", "SOURCES", "IN FORCE", "NEXT", "PEER")
    rows = [
        (
            tunnel["name"],
            tunnel["state"],
            tunnel["plane"],
            "-" if tunnel["epoch"] is None else str(tunnel["epoch"]),
            "+".join(_sources(tunnel)) or "-",
            _in_force_short(tunnel["in_force"]),
            duration(tunnel["next_rotation_s"]),
            tunnel["endpoint"] or tunnel["peer"][:_FINGERPRINT_START],
        )
        for tunnel in tunnels
    ]
    return "\n".join([table(header, rows), *_complaints(tunnels)])


def tunnel_details(tunnel: TunnelStatus) -> str:
    """Return everything about one tunnel, as ``wg show`` would."""
    received = f"{size(tunnel['rx_bytes'])} received"
    sent = f"{size(tunnel['tx_bytes'])} sent"
    values = [
        ("state", tunnel["state"]),
        ("reason", tunnel["reason"]),
        ("hint", tunnel["hint"]),
        ("role", tunnel["role"]),
        ("peer", tunnel["peer"]),
        ("endpoint", tunnel["endpoint"] or "not known yet"),
        ("plane", tunnel["plane"]),
        ("interface", tunnel["interface"]),
        ("suite", suite_name(tunnel["suite"])),
        ("qkd", _policies(tunnel)),
        ("link", tunnel["link"] or ""),
        *_epoch_lines(tunnel),
        (
            "rotations",
            f"{tunnel['rotations']} done, {tunnel['failed_rotations']} failed",
        ),
        ("transfer", f"{received}, {sent}"),
        ("packets", _packets(tunnel)),
        ("last packet", _last_packet(tunnel)),
        ("last failure", _last_failure(tunnel)),
        *(("fault", fault) for fault in tunnel["faults"]),
    ]
    return listing("tunnel", tunnel["name"], values)


def link_table(links: Sequence[LinkStatus]) -> str:
    """Return one row a link; unconfirmed keys are those that the peer may lack."""
    if not links:
        return "no links"
    doubts = any(link["unconfirmed"] for link in links)
    header = (
        "LINK",
        "SOURCE",
        "STOCK",
        "AVAILABLE",
        *(("UNCONFIRMED",) if doubts else ()),
        "RESERVED",
        "CONSUMED",
        "EXPIRED",
        "IN/S",
        "OUT/S",
        "EMPTY IN",
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
    return table(header, rows)


def daemon_status(status: StatusResult) -> str:
    """Return the whole picture: daemon, tunnels, links, what was dropped, warnings."""
    identity = status["identity"]
    planes = [
        plane["plane"]
        if plane["supported"]
        else f"{plane['plane']} (no: {plane['detail']})"
        for plane in status["planes"]
    ]
    head = listing(
        "qgwd",
        status["version"],
        [
            ("running", f"{duration(status['uptime_s'])}, pid {status['pid']}"),
            ("identity", identity["fingerprint"]),
            ("suite", suite_name(identity["suite"])),
            ("ml-kem from", status["kem_provider"]),
            ("listening", ", ".join(status["listen"])),
            ("planes", ", ".join(planes)),
            ("dropped", _dropped(status["dropped"])),
        ],
    )
    blocks = [head, tunnel_table(status["tunnels"])]
    if status["links"]:
        blocks.append(link_table(status["links"]))
    blocks += [
        click.style("warning: ", fg="yellow") + clean(warning)
        for warning in status["warnings"]
    ]
    return "\n\n".join(blocks)


def _complaints(tunnels: Sequence[TunnelStatus]) -> list[str]:
    lines = []
    for tunnel in tunnels:
        if tunnel["reason"]:
            lines.append(f"{tunnel['name']}: {clean(tunnel['reason'])}")
            if tunnel["hint"]:
                lines.append(f"  hint: {clean(tunnel['hint'])}")
        lines += [f"{tunnel['name']}: fault: {clean(f)}" for f in tunnel["faults"]]
    return ["", *lines] if lines else []


def _in_force_short(in_force: InForce) -> str:
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


def _epoch_lines(tunnel: TunnelStatus) -> list[tuple[str, str]]:
    if tunnel["epoch"] is None:
        return [("epoch", "none yet")]
    in_force = {
        (True, True): "at both ends",
        (True, False): "at this end, not proven at the peer's",
        (False, True): "at the peer's end, not proven here",
        (False, False): "not proven yet",
    }[tunnel["in_force"]["local"], tunnel["in_force"]["peer"]]
    since = tunnel["in_force"]["since_s"]
    if since is not None:
        in_force += f", for {duration(since)}"
    return [
        ("epoch", f"{tunnel['epoch']}, {duration(tunnel['epoch_age_s'])} old"),
        ("in force", in_force),
        ("sources", ", ".join(_sources(tunnel))),
        ("qkd key", _qkd_key(tunnel)),
        ("next rotation", _in(tunnel["next_rotation_s"])),
        ("expires", _in(tunnel["lifetime_left_s"])),
    ]


def _in(seconds: float | None) -> str:
    return "" if seconds is None else f"in {duration(seconds)}"


def _policies(tunnel: TunnelStatus) -> str:
    ours = _policy(tunnel["qkd"], tunnel["qkd_every"])
    if tunnel["peer_qkd"] is None:
        return ours
    peer = _policy(tunnel["peer_qkd"], tunnel["peer_qkd_every"] or 1)
    return f"{ours} (peer: {peer})"


def _policy(qkd: str, every: int) -> str:
    return qkd if every == 1 or qkd == "off" else f"{qkd}, every {every} epochs"


def _sources(tunnel: TunnelStatus) -> list[str]:
    """Name what was mixed; beside the chain, how old the QKD key is that it carries."""
    age = tunnel["qkd_age"]
    if tunnel["qkd_key"] != "chained" or age is None:
        return tunnel["sources"]
    chain = f"chain(qkd {plural(age, 'epoch')} ago)"
    return [chain if name == "chain" else name for name in tunnel["sources"]]


def _qkd_key(tunnel: TunnelStatus) -> str:
    match tunnel["qkd_key"], tunnel["qkd_age"]:
        case "fresh", _:
            return f"{tunnel['key_id']}, fresh"
        case "chained", int(age):
            return f"chained, fresh {plural(age, 'epoch')} ago"
        case "none", _ if tunnel["qkd"] != "off":
            return "none"
        case _:
            return ""


def _packets(tunnel: TunnelStatus) -> str:
    if tunnel["rx_packets"] is None or tunnel["tx_packets"] is None:
        return f"not counted on {tunnel['plane']}"
    return f"{tunnel['rx_packets']} received, {tunnel['tx_packets']} sent"


def _last_packet(tunnel: TunnelStatus) -> str:
    """Say when something was last seen each way, since the daemon started."""
    seen = [
        f"{word} {duration(ago)} ago" if ago is not None else f"none {word} yet"
        for word, ago in (
            ("received", tunnel["received_ago_s"]),
            ("sent", tunnel["sent_ago_s"]),
        )
    ]
    return ", ".join(seen) if tunnel["epoch"] is not None else ""


def _last_failure(tunnel: TunnelStatus) -> str:
    failure = tunnel["last_failure"]
    if failure is None:
        return ""
    detail = f" ({failure['detail']})" if failure["detail"] else ""
    return f"{failure['reason']}{detail}, {duration(failure['ago_s'])} ago"


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
