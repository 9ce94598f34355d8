"""One tunnel's devices and peers, as an operator reads them."""

from base64 import b64encode
from dataclasses import replace
from ipaddress import ip_interface

from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.view import DeviceView, SessionView, TunnelView
from gateway.dataplane.wireguard.backend import Backend, DeviceGoneError
from gateway.dataplane.wireguard.devices import DEVICE_COUNT, DevicePair
from gateway.dataplane.wireguard.tunnel import Installed, WireGuardTunnel


def describe_tunnel(
    tunnel: WireGuardTunnel, pair: DevicePair, backend: Backend, keeper: Keeper
) -> TunnelView:
    """Return both devices, since each epoch takes the other, and the peers on them."""
    devices = [_describe_device(tunnel, i, pair, keeper) for i in range(DEVICE_COUNT)]
    sessions = [_describe_peer(tunnel, one, pair, backend) for one in tunnel.installed]
    routed = devices[tunnel.device]
    return TunnelView(
        devices=tuple(device for device in devices if device is not None),
        sessions=tuple(session for session in sessions if session is not None),
        mtu=routed.mtu if routed is not None and tunnel.mtu is None else tunnel.mtu,
    )


def _describe_device(
    tunnel: WireGuardTunnel, index: int, pair: DevicePair, keeper: Keeper
) -> DeviceView | None:
    device = keeper.describe(pair.aliases[index])
    if device is None:
        return None
    # The addresses of all tunnels are on both devices: these are this one's.
    own = {str(ip_interface(address)) for address in tunnel.spec.addresses}
    return replace(
        device,
        addresses=tuple(one for one in device.addresses if one in own),
        port=pair.ports[index],
        public_key=_readable(pair.key(index)),
    )


def _describe_peer(
    tunnel: WireGuardTunnel, one: Installed, pair: DevicePair, backend: Backend
) -> SessionView | None:
    name = pair.names[one.device]
    try:
        peer = backend.read_peers(name, with_details=True).get(one.key)
    except DeviceGoneError:
        return None
    if peer is None:
        return None
    return SessionView(
        epoch=one.epoch,
        active=one is tunnel.active,
        device=name,
        peer=_endpoint(peer.host, peer.port),
        peer_key=_readable(one.key),
    )


def _readable(key: bytes) -> str:
    """Return a public key as `wg show` prints it."""
    return b64encode(key).decode("ascii")


def _endpoint(host: str, port: int) -> str:
    if not host:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
