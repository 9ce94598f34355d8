"""The data planes that this host can run, and the best of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.dataplane.wireguard.kernel import try_wireguard
from gateway.dataplane.wireguard.process import find_program
from gateway.errors import DataPlaneError, PlaneUnsupportedError

if TYPE_CHECKING:
    from gateway.dataplane.base import DataPlane
    from gateway.dataplane.held.keeper import Keeper

PREFERENCE = ("esp", "wireguard", "wireguard-go")
"""Best first: ESP carries our own session keys and the kernel expires them even if
the daemon is dead; wireguard-go copies every packet through user space."""


@dataclass(frozen=True, slots=True)
class PlaneOption:
    """Whether this host can run a plane.

    Attributes:
        name: ``esp``, ``wireguard`` or ``wireguard-go``.
        reason: Why it cannot; empty if it can.
        hint: What to do about it.
    """

    name: str
    reason: str = ""
    hint: str = ""

    @property
    def works(self) -> bool:
        """Whether it can."""
        return not self.reason


def available_planes() -> tuple[PlaneOption, ...]:
    """Try every plane, best first, and leave nothing behind.

    Takes some 20 ms; needs CAP_NET_ADMIN to find any.
    """
    return tuple(try_plane(name) for name in PREFERENCE)


def best_plane() -> str:
    """Return the name of the best plane this host can run.

    Raises:
        PlaneUnsupportedError: It can run none; the hint has each one's reason.
    """
    failed = []
    for name in PREFERENCE:
        option = try_plane(name)
        if option.works:
            return name
        failed.append(f"{name}: {option.reason} ({option.hint})")
    raise PlaneUnsupportedError("this host can run no data plane", "; ".join(failed))


def make_plane(
    name: str, wireguard_ports: tuple[int, int], keeper: "Keeper | None" = None
) -> "DataPlane":
    """Return a plane by name, not yet open.

    Args:
        name: One of `PREFERENCE`.
        wireguard_ports: UDP ports of the two WireGuard devices.
        keeper: Holds what all planes want; without one, the plane has its own.
    """
    # Imported here: a gateway uses one plane and need not load the others.
    if name == "esp":
        from gateway.dataplane.esp import EspPlane  # noqa: PLC0415  # see above

        return EspPlane(keeper)
    from gateway.dataplane.wireguard import (  # noqa: PLC0415  # see above
        kernel_wireguard,
        userspace_wireguard,
    )

    if name == "wireguard":
        return kernel_wireguard(ports=wireguard_ports, keeper=keeper)
    if name == "wireguard-go":
        return userspace_wireguard(ports=wireguard_ports, keeper=keeper)
    raise PlaneUnsupportedError(
        f"there is no data plane {name!r}", f"use one of: {', '.join(PREFERENCE)}"
    )


def try_plane(name: str) -> PlaneOption:
    """Try one plane, and leave nothing behind."""
    try:
        _PROBES[name]()
    except DataPlaneError as error:
        return PlaneOption(name, error.message, error.hint)
    return PlaneOption(name)


def _try_esp() -> None:
    from gateway.dataplane.esp import EspPlane  # noqa: PLC0415  # see make_plane

    plane = EspPlane()
    plane.open()
    plane.close()


def _try_wireguard() -> None:
    try_wireguard()


def _try_wireguard_go() -> None:
    find_program()


_PROBES = {
    "esp": _try_esp,
    "wireguard": _try_wireguard,
    "wireguard-go": _try_wireguard_go,
}
