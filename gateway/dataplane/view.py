"""One tunnel as it really is in the kernel, for an operator to read."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One interface that carries the tunnel.

    Attributes:
        name: Its name in the kernel now.
        addresses: Its addresses, ``10.9.0.1/30``, link-local ones left out.
        mtu: Its MTU in bytes.
        is_up: Whether it is up.
        port: UDP port on which it listens, where it is a WireGuard device.
        public_key: Our public key on it, base64, where it is one.
    """

    name: str
    addresses: tuple[str, ...]
    mtu: int
    is_up: bool
    port: int | None = None
    public_key: str = ""


@dataclass(frozen=True, slots=True)
class SessionView:
    """One epoch's keys in the kernel: a pair of SAs, or a WireGuard peer.

    Attributes:
        epoch: The epoch's number, as `EpochState.epoch`.
        active: Whether sending uses it.
        device: The interface that it belongs to, empty where it belongs to none.
        local: Our outer address, empty where the kernel chooses one per packet.
        peer: The peer's outer address, with its UDP port where there is one; empty
            while it is not known.
        spi_in: SPI that we receive with, None for WireGuard or once it expired.
        spi_out: SPI that we send with, likewise.
        peer_key: The peer's WireGuard public key, base64; empty for ESP.
    """

    epoch: int
    active: bool
    device: str = ""
    local: str = ""
    peer: str = ""
    spi_in: int | None = None
    spi_out: int | None = None
    peer_key: str = ""


@dataclass(frozen=True, slots=True)
class TunnelView:
    """One tunnel as the kernel has it.

    Attributes:
        devices: Its interfaces; two where two devices carry all tunnels in turn.
        sessions: Keys installed, oldest first.
        mtu: Inner MTU in force in bytes, None while there is no interface.
    """

    devices: tuple[DeviceView, ...] = field(default=())
    sessions: tuple[SessionView, ...] = field(default=())
    mtu: int | None = None
