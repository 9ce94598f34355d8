"""WireGuard as a data plane: the kernel's own, or wireguard-go processes.

Two devices serve all tunnels of a gateway. A tunnel's epoch lives as a peer on one
of them; the next epoch is a new peer on the other, whose handshake runs while the
old session still carries traffic; then the tunnel's routes move.
docs/adr/0020 tells why.
"""

from gateway.dataplane.held.keeper import Keeper
from gateway.dataplane.wireguard.kernel import KernelBackend
from gateway.dataplane.wireguard.plane import WireGuardPlane
from gateway.dataplane.wireguard.userspace import UserspaceBackend

DEFAULT_DEVICES = ("qgw-wg0", "qgw-wg1")
"""Interface names of the two devices."""

DEFAULT_PORTS = (51811, 51812)
"""Their UDP ports, the two above the control plane's."""


def kernel_wireguard(
    devices: tuple[str, str] = DEFAULT_DEVICES,
    ports: tuple[int, int] = DEFAULT_PORTS,
    keeper: Keeper | None = None,
) -> WireGuardPlane:
    """Return the plane ``wireguard``; names and ports must be free or ours."""
    return WireGuardPlane(KernelBackend(), devices, ports, keeper=keeper)


def userspace_wireguard(
    devices: tuple[str, str] = DEFAULT_DEVICES,
    ports: tuple[int, int] = DEFAULT_PORTS,
    keeper: Keeper | None = None,
) -> WireGuardPlane:
    """Return the plane ``wireguard-go``; names and ports must be free or ours."""
    return WireGuardPlane(UserspaceBackend(), devices, ports, keeper=keeper)
