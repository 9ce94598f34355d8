"""One tunnel on a terminal, in full."""

from gateway.cli.text import listing, size
from gateway.control.schema import (
    DeviceStatus,
    SessionStatus,
    TunnelDetails,
    TunnelFenceStatus,
    TunnelStatus,
)
from gateway.units import duration, plural

SUITE_NAMES = {
    1: "1 (X25519, ML-KEM-768, AES-256-GCM, SHA-384)",
    2: "2 (P-384, ML-KEM-1024, AES-256-GCM, SHA-384)",
}


def suite_name(suite: int) -> str:
    """Return a suite's number and what it stands for."""
    return SUITE_NAMES.get(suite, str(suite))


def tunnel_details(tunnel: TunnelDetails) -> str:
    """Return everything about one tunnel, as ``wg show`` would."""
    values = [
        ("state", tunnel["state"]),
        ("reason", tunnel["reason"]),
        ("hint", tunnel["hint"]),
        ("rotation fails", _failing(tunnel)),
        ("role", tunnel["role"]),
        ("peer", tunnel["peer"]),
        ("endpoint", tunnel["endpoint"] or "not known yet"),
        ("authenticated at", tunnel["peer_address"] or "not yet"),
        ("local address", tunnel["local_address"] or ""),
        ("local prefixes", ", ".join(tunnel["local_subnets"])),
        ("remote prefixes", ", ".join(tunnel["remote_subnets"])),
        ("plane", tunnel["plane"]),
        *(("device", _device(device)) for device in tunnel["devices"]),
        ("mtu", _mtu(tunnel)),
        ("suite", suite_name(tunnel["suite"])),
        ("qkd", _policies(tunnel)),
        ("link", tunnel["link"] or ""),
        *_epoch_lines(tunnel),
        *(("keys", _session(session)) for session in tunnel["sessions"]),
        ("fence", _fence(tunnel["fence"])),
        ("rotations", _rotations(tunnel)),
        ("transfer", _transfer(tunnel)),
        ("packets", _packets(tunnel)),
        ("last packet", _last_packet(tunnel)),
        ("last failure", _last_failure(tunnel)),
        *(("fault", fault) for fault in tunnel["faults"]),
    ]
    return listing("tunnel", tunnel["name"], values, wrap=True)


def _mtu(tunnel: TunnelDetails) -> str:
    """Say what its packets may have; WireGuard's devices are other tunnels' too."""
    mtu = tunnel["mtu"]
    if mtu is None:
        return ""
    is_routed = any(device["mtu"] != mtu for device in tunnel["devices"])
    return f"{mtu}, which its routes say" if is_routed else str(mtu)


def _failing(tunnel: TunnelStatus) -> str:
    failing = tunnel["failing"]
    if failing is None:
        return ""
    times = plural(failing["attempts"], "attempt")
    return f"{times} in a row for {duration(failing['since_s'])}: {failing['detail']}"


def _device(device: DeviceStatus) -> str:
    port = "" if device["port"] is None else f"UDP port {device['port']}"
    key = f"public key {device['public_key']}" if device["public_key"] else ""
    addresses = ", ".join(device["addresses"])
    parts = (
        device["name"],
        "up" if device["up"] else "down",
        f"MTU {device['mtu']}",
        addresses,
        port,
        key,
    )
    return ", ".join(filter(None, parts))


def _session(session: SessionStatus) -> str:
    """Say what one epoch has in the kernel; SPIs as `ip xfrm state` prints them."""
    found = [f"epoch {session['epoch']}" if session["epoch"] else "an earlier run's"]
    found.append("sends" if session["active"] else "receives only")
    if session["spi_in"] is not None:
        found.append(f"SPI in {session['spi_in']:#010x}")
    if session["spi_out"] is not None:
        found.append(f"SPI out {session['spi_out']:#010x}")
    if session["peer_key"]:
        found.append(f"on {session['device']}, peer's key {session['peer_key']}")
    ends = " to ".join(filter(None, (session["local"], session["peer"])))
    return ", ".join(filter(None, (*found, ends)))


def _fence(fence: TunnelFenceStatus | None) -> str:
    if fence is None:
        return ""
    granted = fence["granted_s"]
    passes = f"passes {duration(granted)} more" if granted else "passes nothing"
    return (
        f"{passes}; refused {plural(fence['dropped_out'], 'packet')} outward, "
        f"{fence['dropped_in']} inward"
    )


def _rotations(tunnel: TunnelStatus) -> str:
    return f"{tunnel['rotations']} done, {tunnel['failed_rotations']} failed"


def _transfer(tunnel: TunnelStatus) -> str:
    return f"{size(tunnel['rx_bytes'])} received, {size(tunnel['tx_bytes'])} sent"


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
