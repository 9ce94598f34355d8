"""WireGuard devices of the kernel, by generic netlink."""

import errno
import secrets
from contextlib import closing

from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import AsyncGenericNetlinkSocket, GenericNetlinkSocket

from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.refusals import explain_refusal, kernel_call
from gateway.dataplane.wireguard.backend import (
    DeviceGoneError,
    PeerReading,
    PeerSettings,
    device_alias,
    device_link,
    new_private_key,
    port_hint,
    public_key_of,
    refuse_taken_port,
)
from gateway.dataplane.wireguard.messages import (
    CMD_GET_DEVICE,
    CMD_SET_DEVICE,
    DEVICE_F_REPLACE_PEERS,
    FAMILY,
    FAMILY_VERSION,
    device_answer,
    device_request,
    encode_new_peer,
    encode_removal,
    encode_update,
    read_peers,
)
from gateway.errors import DataPlaneError, PlaneConflictError, PlaneUnsupportedError
from gateway.host.marks import OUTER_MARK

MISSING_HINT = (
    "load the module (modprobe wireguard; Linux 5.6 or later has it), or "
    'apt-get install wireguard-go and set plane = "wireguard-go"'
)

_KIND = "wireguard"


def try_wireguard() -> None:
    """Check that the kernel has WireGuard, and leave nothing behind.

    Raises:
        PlaneUnsupportedError: It has not.
        PlanePermissionError: CAP_NET_ADMIN is missing.
    """
    device = f"qgw-try-{secrets.token_hex(3)}"
    with closing(Keeper()) as keeper:
        keeper.make_link(device_link(device, _KIND, MISSING_HINT))
        keeper.drop_link(device_alias(device))


class _AsyncWireGuardSocket(AsyncGenericNetlinkSocket):  # type: ignore[misc]  # untyped
    """Binds to the kernel's WireGuard family."""

    module_err_level = "debug"

    async def setup_endpoint(self) -> None:
        if getattr(self.local, "transport", None) is not None:
            return
        await super().setup_endpoint()
        await self.bind(FAMILY, device_answer)


class _WireGuardSocket(GenericNetlinkSocket):  # type: ignore[misc]  # untyped
    async_class = _AsyncWireGuardSocket

    def request(self, message: device_request, flags: int) -> list[device_answer]:
        """Send one message and return the answers."""
        return list(
            self._run_sync_cleanup(self.asyncore.nlm_request, message, self.prid, flags)
        )


class KernelBackend:
    """Implements `Backend` with devices of kind ``wireguard``."""

    name = "wireguard"

    _keeper: Keeper

    def __init__(self) -> None:
        self._socket: _WireGuardSocket | None = None

    def open(self, keeper: Keeper) -> None:
        """Keep the keeper; the module loads itself when the first device is made."""
        self._keeper = keeper

    def check_port(self, device: str, port: int) -> None:
        """See that a port is free or the device's. Raises as `Backend.check_port`."""
        if self._port(device) != port:
            refuse_taken_port(device, port)

    def ensure_device(self, device: str, port: int) -> bytes:
        """Make or adopt a device. Raises as `Backend.ensure_device`."""
        link = device_link(device, _KIND, MISSING_HINT)
        is_new = self._keeper.seek_link(link) is None
        self._keeper.make_link(link if is_new else self._keeper.keep_mtu(link))
        try:
            public_key = self._public_key(device)
            if public_key is None:
                private_key = new_private_key()
                public_key = public_key_of(private_key)
                self._set(
                    device,
                    ("WGDEVICE_A_PRIVATE_KEY", private_key.expose()),
                    ("WGDEVICE_A_FLAGS", DEVICE_F_REPLACE_PEERS),
                )
                private_key.wipe()
            self._set(
                device,
                ("WGDEVICE_A_FWMARK", OUTER_MARK),
                ("WGDEVICE_A_LISTEN_PORT", port),
            )
        except DataPlaneError as error:
            if is_new:
                self._keeper.drop_link(device_alias(device))
            if isinstance(error, PlaneConflictError):
                raise PlaneConflictError(
                    f"UDP port {port} for {device} is taken",
                    port_hint(port),
                ) from None
            raise
        return public_key

    def set_again(self, device: str, port: int) -> bool:
        """Set port and mark if they are others. See `Backend.set_again`."""
        try:
            answers = self._get(device)
        except DeviceGoneError:
            return False
        found = (
            answers[0].get_attr("WGDEVICE_A_LISTEN_PORT"),
            answers[0].get_attr("WGDEVICE_A_FWMARK"),
        )
        if found == (port, OUTER_MARK):
            return False
        self._set(
            device,
            ("WGDEVICE_A_FWMARK", OUTER_MARK),
            ("WGDEVICE_A_LISTEN_PORT", port),
        )
        return True

    def unblock(self) -> None:
        """Do nothing: the kernel's devices never wait for a route."""

    def is_there(self, device: str) -> bool:
        """Return whether the interface exists, under whatever name."""
        return self._keeper.seek_link(device_link(device, _KIND)) is not None

    def read_peers(
        self, device: str, *, with_details: bool = False
    ) -> dict[bytes, PeerReading]:
        """Return all peers of a device by public key."""
        peers: dict[bytes, PeerReading] = {}
        for answer in self._get(device):
            data = answer.get_attr("WGDEVICE_A_PEERS")
            if data is not None:
                read_peers(bytes(data), peers, with_details=with_details)
        return peers

    def replace_peer(self, device: str, peer: PeerSettings) -> None:
        """Remove and add a peer in one message."""
        entries = encode_removal(peer.public_key) + encode_new_peer(peer)
        self._set(device, ("WGDEVICE_A_PEERS", entries))

    def remove_peer(self, device: str, public_key: bytes) -> None:
        """Remove a peer; the kernel does not mind if it is not there."""
        self._set(device, ("WGDEVICE_A_PEERS", encode_removal(public_key)))

    def set_keepalive(self, device: str, public_key: bytes, seconds: int) -> None:
        """Set a peer's keepalive."""
        update = encode_update(public_key, keepalive=seconds)
        self._set(device, ("WGDEVICE_A_PEERS", update))

    def set_endpoint(
        self, device: str, public_key: bytes, endpoint: tuple[str, int]
    ) -> None:
        """Change a peer's outer address."""
        update = encode_update(public_key, endpoint=endpoint)
        self._set(device, ("WGDEVICE_A_PEERS", update))

    def set_allowed(
        self, device: str, public_key: bytes, allowed: tuple[str, ...]
    ) -> None:
        """Replace a peer's prefixes."""
        update = encode_update(public_key, allowed=allowed)
        self._set(device, ("WGDEVICE_A_PEERS", update))

    def remove_device(self, device: str) -> None:
        """Remove a device of ours."""
        self._keeper.drop_link(device_alias(device))

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _port(self, device: str) -> int:
        """Return the port that a device has, 0 if it is not there."""
        try:
            for answer in self._get(device):
                port = answer.get_attr("WGDEVICE_A_LISTEN_PORT")
                if port is not None:
                    return int(port)
        except (DeviceGoneError, PlaneUnsupportedError):
            pass  # it is still to be made, and the kernel will load its module then
        return 0

    def _public_key(self, device: str) -> bytes | None:
        for answer in self._get(device):
            public_key = answer.get_attr("WGDEVICE_A_PUBLIC_KEY")
            if public_key is not None and any(public_key):
                return bytes(public_key)
        return None

    def _get(self, device: str) -> list[device_answer]:
        message = device_request()
        message["cmd"] = CMD_GET_DEVICE
        message["version"] = FAMILY_VERSION
        message["attrs"].append(("WGDEVICE_A_IFNAME", device))
        return self._request(device, "read", message, NLM_F_REQUEST | NLM_F_DUMP)

    def _set(self, device: str, *attributes: tuple[str, object]) -> None:
        message = device_request()
        message["cmd"] = CMD_SET_DEVICE
        message["version"] = FAMILY_VERSION
        message["attrs"] = [("WGDEVICE_A_IFNAME", device), *attributes]
        self._request(device, "set", message, NLM_F_REQUEST | NLM_F_ACK)

    def _request(
        self, device: str, verb: str, message: device_request, flags: int
    ) -> list[device_answer]:
        action = f"{verb} WireGuard device {device}"
        try:
            return self._connected().request(message, flags)
        except NetlinkError as error:
            code = abs(error.code)
        except OSError as error:
            code = error.errno or errno.EIO
        if code == errno.ENODEV:
            raise DeviceGoneError(f"device {device} is gone", retryable=True)
        raise explain_refusal(action, code) from None

    def _connected(self) -> _WireGuardSocket:
        if self._socket is None:
            try:
                with kernel_call("find WireGuard"):
                    self._socket = _WireGuardSocket()
            except DataPlaneError:
                raise PlaneUnsupportedError(
                    "this kernel has no WireGuard", MISSING_HINT
                ) from None
        return self._socket
