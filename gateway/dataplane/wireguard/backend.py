"""The interface of both kinds of WireGuard device, in plain values."""

import errno
import socket
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.held.wanted import WantedLink, alias_of
from gateway.dataplane.refusals import explain_refusal
from gateway.errors import DataPlaneError, PlaneConflictError
from gateway.secret import Secret

KEY_SIZE = 32
"""Bytes in a WireGuard private, public or preshared key."""

RESPONSE_SIZE = 92
"""Bytes of WireGuard's handshake response, which counts as received."""

DEVICE_OWNER = "wireguard"
"""Start of the owner in our interface's alias: devices belong to no single tunnel."""

DEFAULT_MTU = 1420
"""Bytes inside when the outer path is unknown: fits 1500 outside over IPv6."""


class DeviceGoneError(DataPlaneError):
    """Raised when a device is not there any more: deleted, or its process died."""


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """A peer to add.

    Attributes:
        public_key: 32 bytes.
        psk: 32 bytes; a peer is never added without one.
        endpoint: Outer address and UDP port.
        allowed: Prefixes that may come from it and are sent to it.
        keepalive: Seconds between keepalives; 0 for none, and then adding the
            peer sends nothing.
    """

    public_key: bytes
    psk: Secret
    endpoint: tuple[str, int]
    allowed: tuple[str, ...]
    keepalive: int = 0


@dataclass(frozen=True, slots=True)
class PeerReading:
    """What a device says of a peer; its keys are never read.

    Attributes:
        handshake: Seconds and nanoseconds of the last completed handshake, by the
            device's wall clock, (0, 0) before the first. Only compared with
            others of the same host, never with a clock of ours.
        received: Bytes, handshakes included.
        sent: Bytes, handshakes included.
        allowed: Its prefixes, where details were asked for.
        host: Its outer address, where details were asked for and it has one.
        port: The UDP port there, 0 likewise.
    """

    handshake: tuple[int, int]
    received: int
    sent: int
    allowed: tuple[str, ...] = ()
    host: str = ""
    port: int = 0

    @property
    def confirmed(self) -> bool:
        """Whether a handshake with this peer, and so with its PSK, completed."""
        return self.handshake != (0, 0)


class Backend(Protocol):
    """Makes and steers WireGuard devices. All calls block.

    Every method that names a device may raise `DeviceGoneError`.
    """

    name: str
    """The plane's name: ``wireguard`` or ``wireguard-go``."""

    def open(self, keeper: Keeper) -> None:
        """Check that this host can do it; nothing else is called before.

        Raises:
            PlaneUnsupportedError: It cannot; the hint says what to install.
            PlanePermissionError: CAP_NET_ADMIN is missing.
        """

    def check_port(self, device: str, port: int) -> None:
        """See that a device can have a port, before anything is touched.

        Raises:
            PlaneConflictError: Something else has it; the message names the port.
        """

    def ensure_device(self, device: str, port: int) -> bytes:
        """Make a device with a new private key, or adopt ours; return its public key.

        Raises:
            PlaneConflictError: The name or the port is taken.
        """

    def set_again(self, device: str, port: int) -> bool:
        """Set a device's port and mark if they are others; return whether they were.

        One that is gone has none.
        """

    def unblock(self) -> None:
        """Free devices that wait for packets which cannot leave.

        Raises:
            DataPlaneError: The kernel refused.
        """

    def is_there(self, device: str) -> bool:
        """Return whether the device exists and answers."""

    def read_peers(
        self, device: str, *, with_details: bool = False
    ) -> dict[bytes, PeerReading]:
        """Return all peers of a device by public key."""

    def replace_peer(self, device: str, peer: PeerSettings) -> None:
        """Remove a peer if it is there and add it, its sessions forgotten."""

    def remove_peer(self, device: str, public_key: bytes) -> None:
        """Remove a peer and its sessions; absence is fine."""

    def set_keepalive(self, device: str, public_key: bytes, seconds: int) -> None:
        """Set a peer's keepalive; from 0 to more sends one, or a handshake, now."""

    def set_endpoint(
        self, device: str, public_key: bytes, endpoint: tuple[str, int]
    ) -> None:
        """Change a peer's outer address; an absent peer is not made."""

    def set_allowed(
        self, device: str, public_key: bytes, allowed: tuple[str, ...]
    ) -> None:
        """Replace a peer's prefixes; an absent peer is not made."""

    def remove_device(self, device: str) -> None:
        """Remove a device of ours with all its keys; absence is fine."""

    def close(self) -> None:
        """Let go of sockets; devices and processes stay."""


def new_private_key() -> Secret:
    """Return a fresh device key; after it is set only the device keeps it."""
    return Secret(X25519PrivateKey.generate().private_bytes_raw())


def public_key_of(private_key: Secret) -> bytes:
    """Return the public key, 32 bytes, of a device key."""
    key = X25519PrivateKey.from_private_bytes(private_key.expose())
    return key.public_key().public_bytes_raw()


def device_alias(device: str) -> str:
    """Return the alias by which a device is known for ours, whatever its name."""
    return alias_of(f"{DEVICE_OWNER}:{device}")


def device_link(device: str, kind: str, needs: str = "") -> WantedLink:
    """Return what a device's interface should be.

    Its reverse path is loose: for one round trip the two ends use different devices;
    WireGuard itself has checked the source against the peer's prefixes, which is
    stricter than any reverse path.
    """
    return WantedLink(
        alias=device_alias(device),
        name=device,
        kind=kind,
        mtu=DEFAULT_MTU,
        is_loose=True,
        makable=False,
        needs=needs,
        former_alias=alias_of(DEVICE_OWNER),
    )


def refuse_taken_port(device: str, port: int) -> None:
    """See that a UDP port is free.

    Raises:
        PlaneConflictError: It is not.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise explain_refusal(
                f"bind UDP port {port}", error.errno or errno.EIO
            ) from None
        raise PlaneConflictError(
            f"UDP port {port} for {device} is taken", port_hint(port)
        ) from None


def port_hint(port: int) -> str:
    """Return what to do about a UDP port that is taken."""
    return (
        "set other wireguard_ports, or stop what listens there "
        f"(ss -lunp sport = :{port})"
    )
