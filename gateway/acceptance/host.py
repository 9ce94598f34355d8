"""This host: whether it can do what a configuration asks of it."""

import errno
import socket
from collections.abc import Collection, Iterable, Mapping

from gateway.acceptance.files import TunnelFiles
from gateway.acceptance.findings import Notes
from gateway.config.checks import ONE_TUNNEL_A_PEER, shared_peer
from gateway.config.model import Endpoint, GatewayConfig, PlaneName
from gateway.dataplane.choose import PlaneOption, best_plane, try_plane
from gateway.dataplane.host import check_host
from gateway.dataplane.wireguard import DEFAULT_DEVICES
from gateway.errors import PlaneUnsupportedError

WIREGUARD = frozenset(plane.value for plane in ONE_TUNNEL_A_PEER)
"""Planes with devices that listen on `wireguard_ports`."""

Options = Mapping[PlaneName, PlaneOption]
"""What this host can run; ``auto`` stands for the best that it can."""


def wanted_planes(config: GatewayConfig) -> frozenset[PlaneName]:
    """Return the planes that a configuration names."""
    return frozenset(tunnel.plane for tunnel in config.tunnels.values())


def look_for_planes(wanted: Iterable[PlaneName]) -> dict[PlaneName, PlaneOption]:
    """Find out in some 20 ms, with CAP_NET_ADMIN, whether this host can run planes."""
    found: dict[PlaneName, PlaneOption] = {}
    for plane in wanted:
        if plane is not PlaneName.AUTO:
            found[plane] = try_plane(plane.value)
            continue
        try:
            found[plane] = PlaneOption(best_plane())
        except PlaneUnsupportedError as error:
            found[plane] = PlaneOption(plane.value, error.message, error.hint)
    return found


def check_planes(notes: Notes, options: Options) -> None:
    """Note tunnels over planes that this host cannot run.

    Args:
        notes: Names the tunnels.
        options: What was found out; planes of which nothing is known are not judged.
    """
    for tunnel in notes.config.tunnels.values():
        option = options.get(tunnel.plane)
        if option is not None and not option.works:
            hint = f" ({option.hint})" if option.hint else ""
            notes.refuse(
                ("tunnels", tunnel.name, "plane"),
                "a plane that this host can run",
                f"{tunnel.plane}: {option.reason}{hint}",
            )


def check_peers(
    notes: Notes, tunnels: Mapping[str, TunnelFiles], options: Options | None = None
) -> None:
    """Note second tunnels to a gateway over WireGuard, whatever their files are called.

    With options it judges those tunnels alone whose plane is ``auto``.
    """
    first: dict[tuple[str, bytes], str] = {}
    for name, tunnel in notes.config.tunnels.items():
        files = tunnels.get(name)
        plane = plane_of(tunnel.plane, options or {})
        if files is None or not tunnel.enabled or plane not in ONE_TUNNEL_A_PEER:
            continue
        earlier = first.setdefault((plane, files.peer.fingerprint), name)
        # Without options nothing is known of ``auto``; with them, all but it was said.
        if earlier != name and (options is None or PlaneName.AUTO is tunnel.plane):
            notes.refuse(("tunnels", name, "peer"), *shared_peer(tunnel, earlier))


def plane_of(wanted: PlaneName, options: Options) -> str:
    """Return the plane that ``auto`` stands for, as far as that is known."""
    option = options.get(wanted)
    return option.name if option is not None and option.works else wanted


def check_ports(
    notes: Notes,
    options: Options,
    in_force: GatewayConfig | None,
    opened: Collection[str] = (),
) -> None:
    """Note ports that another program has.

    Args:
        notes: Names the ports.
        options: What ``auto`` stands for.
        in_force: The configuration whose ports are ours already, or None.
        opened: Planes that this daemon has open: their devices stay when the last
            tunnel over them goes.
    """
    config = notes.config
    ours: set[int] = set()
    if in_force is not None and (
        _uses_wireguard(in_force, options) or not set(opened).isdisjoint(WIREGUARD)
    ):
        ours = set(in_force.wireguard_ports)
    elif in_force is None and _stand(DEFAULT_DEVICES):
        # Those of a daemon that was stopped: its devices carry traffic on, and the next
        # one takes them over, or says which program has a port.
        ours = set(config.wireguard_ports)
    if _uses_wireguard(config, options):
        for port in config.wireguard_ports:
            if port not in ours and is_taken("0.0.0.0", port):  # noqa: S104 - all
                notes.refuse(
                    ("gateway", "wireguard_ports"),
                    "ports that no other program has",
                    f"{port}, which is taken (see: ss -lunp sport = :{port})",
                )
    # A socket of ours on all addresses has the port of each of them.
    listening = set(map(_port_of, in_force.listen)) if in_force else set()
    for endpoint in config.listen:
        if _port_of(endpoint) in listening:
            continue
        if is_taken(endpoint.host, endpoint.port):
            notes.refuse(
                ("gateway", "listen"),
                "addresses and ports that no other program has",
                f"{endpoint}, which is taken (see: ss -lunp sport = :{endpoint.port})",
            )


def _stand(devices: Iterable[str]) -> bool:
    there = {name for _, name in socket.if_nameindex()}
    return not there.isdisjoint(devices)


def _uses_wireguard(config: GatewayConfig, options: Options) -> bool:
    planes = {plane_of(plane, options) for plane in wanted_planes(config)}
    return not planes.isdisjoint(WIREGUARD)


def _port_of(endpoint: Endpoint) -> tuple[bool, int]:
    return ":" in endpoint.host, endpoint.port


def is_taken(host: str, port: int) -> bool:
    """Say whether a UDP port is another socket's; an address not here yet is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def check_settings(notes: Notes) -> None:
    """Warn of settings of this host that keep packets out of the tunnels."""
    for finding in check_host(notes.config):
        expected = f"a host that lets packets pass ({finding.hint})"
        notes.warn(("tunnels",), expected, finding.text)
